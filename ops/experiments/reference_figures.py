"""openSMILE's eGeMAPSv02 and ComParE 2016 on unheard speakers, in both bands: the figures to beat.

    python ops/experiments/reference_figures.py ../shared/data/emodb4 OUT

Needs the extra `opensmile`, whose licence forbids commercial use: a baseline, and no part of the product. Prints a
Markdown table and writes what ComParE's best machine, the linear one, says of each recording into
OUT/compare-wide.npy and OUT/compare-telephone.npy for default_features.py.

'Telephone' is here what the published figures were made with: 8 kHz by a polyphase filter, mu-law of 255 levels as a
formula, and back to 16 kHz, which openSMILE's sets are made for.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import opensmile
from rich.progress import track
from scipy.signal import resample_poly
from sklearn.svm import SVC
from unheard import WIDE, Classes, Rows, Samples, interval, leaving_one_out, one_vs_rest, read_speech

SETS = {"eGeMAPSv02": opensmile.FeatureSet.eGeMAPSv02, "ComParE 2016": opensmile.FeatureSet.ComParE_2016}
MU = 255.0


def as_recorded(wide: Samples) -> Samples:
    """Unaltered."""
    return wide


def line(wide: Samples) -> Samples:
    """8 kHz, mu-law and back, at 16 kHz again."""
    narrow = np.clip(resample_poly(wide, 1, 2), -1, 1)
    squeezed = np.sign(narrow) * np.log1p(MU * np.abs(narrow)) / np.log1p(MU)
    levels = 2 * np.floor((squeezed + 1) / 2 * MU + 0.5) / MU - 1
    heard = np.sign(levels) * np.expm1(np.abs(levels) * np.log1p(MU)) / MU
    return resample_poly(heard, 2, 1).astype(np.float32)


def rest(train: Rows, classes: Classes, test: Rows) -> Classes:
    """The paper's machines: one-vs-rest RBF."""
    return one_vs_rest(train, classes, test).argmax(axis=1)


def machine(made: SVC, train: Rows, classes: Classes, test: Rows) -> Classes:
    """A machine of scikit-learn's own one-vs-one kind."""
    return made.fit(train, classes).predict(test)


HEADS = {
    "one-vs-rest RBF": rest,
    "one-vs-one RBF": partial(machine, SVC(C=1, class_weight="balanced")),
    "linear, C = 0.01": partial(machine, SVC(kernel="linear", C=0.01, class_weight="balanced")),
}


def main() -> None:
    """Print the table and write ComParE's answers."""
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    speech = read_speech(root)
    print(f"| features | band | {' | '.join(HEADS)} |\n| --- | --- | --- | --- | --- |")
    for name, functionals in SETS.items():
        smile = opensmile.Smile(functionals, opensmile.FeatureLevel.Functionals, num_workers=1)
        for band, heard in (("wide", as_recorded), ("telephone", line)):
            windows = track(speech.wide, description=f"{name}, {band}")
            vectors = np.nan_to_num([smile.process_signal(heard(wide), WIDE).to_numpy()[0] for wide in windows])
            said = {head: leaving_one_out(speech, vectors.astype(np.float64), say) for head, say in HEADS.items()}
            print(f"| {name} | {band} | {' | '.join(interval(speech, each) for each in said.values())} |")
            if name == "ComParE 2016":
                np.save(out / f"compare-{band}.npy", said["linear, C = 0.01"])


if __name__ == "__main__":
    main()
