"""One point of `training`: `training_work.py HEAD WINDOWS FRAMES` prints seconds, by clock and CPU, and MB."""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streams.domain.schemes import CC_DEBT

VALUES, LAYERS, FOLDS, CALL = 1_024, 1, 5, 20
SHARES = {  #: of the classes in the paper's Table 2, in the scheme's order
    "category": {"annoyed": 1717, "calm": 9476, "nervous": 873},
    "valence": {"negative": 2379, "neutral": 9039, "very negative": 651},
    "arousal": {"excited": 749, "neutral": 10145, "slightly excited": 2030},
}
Targets = dict[str, NDArray[np.int64]]


def targets(windows: int, random: np.random.Generator) -> Targets:
    """Classes as common as in the paper, by chance."""
    wanted: Targets = {}
    for name, dimension in CC_DEBT.dimensions.items():
        counts = np.array([SHARES[name][each] for each in dimension.classes])
        said = random.choice(len(counts), size=windows, p=counts / counts.sum())
        binary = [[each in members for members in dimension.binary.values()].index(True) for each in dimension.classes]
        wanted |= {f"{name}.full": said, f"{name}.binary": np.array(binary)[said]}
    return wanted


def vectors(wanted: Targets, random: np.random.Generator) -> NDArray[np.float32]:
    """(windows, values) of noise in which every class is shifted its own way."""
    found = random.standard_normal((len(wanted["valence.full"]), VALUES), np.float32)
    for classes in wanted.values():
        found += np.float32(0.1) * random.standard_normal((classes.max() + 1, VALUES), np.float32)[classes]
    return found


def machines(windows: int, *, shared: bool) -> Callable[[], None]:
    """Fit the SVM of every head on precomputed vectors; with a kernel for all, or as scikit-learn does by itself."""
    from services.training import machines as module  # noqa: PLC0415 - what a point does not need takes no memory

    random = np.random.default_rng(1)
    wanted = targets(windows, random)
    known = vectors(wanted, random)
    if not shared:
        module.KERNEL_BYTES = 0

    def work() -> None:
        module.fit(CC_DEBT, known, wanted)

    return work


def network(windows: int, frames: int, folder: Path) -> Callable[[], None]:
    """Train and judge DNN-SP of every head in five folds, on one layer's frames that lie in a file of halves."""
    import torch  # noqa: PLC0415 - as above

    from services.training.downstream import Examples, decisions, train  # noqa: PLC0415 - as above
    from services.training.learner import Recipe  # noqa: PLC0415 - as above

    torch.set_num_threads(1)
    random = np.random.default_rng(1)
    wanted, calls = targets(windows, random), np.arange(windows) // CALL
    path, size = folder / "frames", LAYERS * frames * VALUES
    _cache(path, vectors(wanted, random), frames, random)

    def frames_of(rows: NDArray[np.int64]) -> list[NDArray[np.float16]]:
        read = (np.fromfile(path, np.float16, size, offset=int(row) * size * 2) for row in rows)
        return [each.reshape(LAYERS, frames, VALUES) for each in read]

    def work() -> None:
        for fold in range(FOLDS):
            heard = calls % FOLDS == fold
            learnt = np.flatnonzero(~heard)
            examples = Examples(
                lambda rows, learnt=learnt: frames_of(learnt[rows]),
                {head: classes[learnt] for head, classes in wanted.items()},
                calls[learnt],
            )
            found = train(Recipe("sp"), CC_DEBT.heads(), examples)
            decisions(found.networks, frames_of, np.flatnonzero(heard))

    return work


def _cache(path: Path, known: NDArray[np.float32], frames: int, random: np.random.Generator) -> None:
    """Write (windows, layers, frames, values) of halves: each window's vector, and noise in every frame."""
    noise = random.standard_normal((frames, VALUES), np.float32)
    with path.open("wb") as file:
        for row, vector in enumerate(known):
            (vector + np.roll(noise, row, axis=0)).astype(np.float16).tofile(file)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Do the work once."""
    head, windows, frames = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        if head == "network":
            work = network(windows, frames, Path(folder))
        else:
            work = machines(windows, shared=head == "machines")
        before, began, used = _peak_mb(), time.perf_counter(), time.process_time()
        work()
        took = {"s": time.perf_counter() - began, "cpu_s": time.process_time() - used}
        print(json.dumps(took | {"before_mb": before, "peak_mb": _peak_mb()}))


if __name__ == "__main__":
    main()
