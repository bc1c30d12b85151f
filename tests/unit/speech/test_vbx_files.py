import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from streams.speech import kaldi
from streams.speech.kaldi import KaldiError
from streams.speech.plda import Plda
from streams.speech.plda_files import PldaError, read, read_npz

Array = np.ndarray
RNG = np.random.default_rng(0)
MEAN, DIAGONAL, BETWEEN = RNG.normal(size=3), RNG.normal(size=(3, 3)), np.array([5.0, 3.0, 1.0])


def vector(values: Array, kind: bytes = b"D") -> bytes:
    form = "<f8" if kind == b"D" else "<f4"
    return kind + b"V \4" + struct.pack("<i", len(values)) + values.astype(form).tobytes()


def matrix(values: Array) -> bytes:
    sizes = b"".join(b"\4" + struct.pack("<i", size) for size in values.shape)
    return b"DM " + sizes + values.astype("<f8").tobytes()


def plda(mean: Array = MEAN, diagonal: Array = DIAGONAL, between: Array = BETWEEN) -> bytes:
    """Byte for byte as Kaldi writes one."""
    return b"\0B<Plda> " + vector(mean) + matrix(diagonal) + vector(between) + b"</Plda> "


def transform(path: Path, **arrays: Array) -> Path:
    given = {"mean1": RNG.normal(size=5), "mean2": RNG.normal(size=3), "lda": RNG.normal(size=(5, 3))} | arrays
    with h5py.File(path, "w") as file:
        for name, values in given.items():
            file[name] = values
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    path = tmp_path / "plda"
    path.write_bytes(plda())
    return path, transform(tmp_path / "transform.h5")


def test_a_plda_is_read_as_it_was_written(files: tuple[Path, Path]) -> None:
    found = read(*files)
    assert np.array_equal(found.plda_mean, MEAN)
    assert np.array_equal(found.diagonal, DIAGONAL)
    assert np.array_equal(found.between, BETWEEN)
    with h5py.File(files[1]) as file:
        assert np.array_equal(found.mean, file["mean1"][:])
        assert np.array_equal(found.lda_mean, file["mean2"][:])
        assert np.array_equal(found.lda, file["lda"][:])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<Plda>  [ 1 2 3 ]", "byte 0: .* is missing; a file in Kaldi's binary form is needed"),
        (plda()[:60], "byte 54: 72 bytes are promised and 6 are there"),
        (plda().replace(b"DM ", b"CM "), "no matrix of floating-point numbers"),
        (plda().replace(b"</Plda>", b"</Pdla>"), "is missing"),
        (plda(mean=np.array([1.0, np.nan, 0.0])), "infinite or none at all"),
        (plda(diagonal=DIAGONAL[:2]), r"a mean of 3, a transform of \(2, 3\) and 3 variances do not fit"),
        (plda(between=np.array([5.0, 0.0, 1.0])), "a variance between speakers is not above 0"),
        (b"\0B<Plda> DV \4\xff\xff\xff\xff", "a dimension of -1"),
        (b"", "is missing"),
    ],
)
def test_a_plda_that_is_none_is_refused_in_one_line(files: tuple[Path, Path], content: bytes, said: str) -> None:
    files[0].write_bytes(content)
    with pytest.raises(PldaError, match=said) as refused:
        read(*files)
    assert str(refused.value).startswith(f"{files[0]}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"lda": RNG.normal(size=(3, 5))}, "do not fit each other"),
        ({"lda": RNG.normal(size=5)}, "no array of 2 dimensions named lda"),
        ({"mean1": np.full(5, np.inf)}, "mean1 holds a number that is not finite"),
        ({"mean2": np.array([b"a"])}, "no array of 1 dimension named mean2"),
        ({"mean2": RNG.normal(size=4), "lda": RNG.normal(size=(5, 4))}, "is for 3 dimensions and .* gives 4"),
    ],
)
def test_a_transform_that_does_not_fit_is_refused_in_one_line(
    files: tuple[Path, Path], arrays: dict[str, Array], said: str
) -> None:
    transform(files[1], **arrays)
    with pytest.raises(PldaError, match=said) as refused:
        read(*files)
    assert str(files[1]) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_cannot_be_read_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(PldaError, match=r"none: cannot be read \(No such file or directory\)"):
        read(tmp_path / "none", files[1])
    with pytest.raises(PldaError, match=r"none\.h5: no HDF5 file"):
        read(files[0], tmp_path / "none.h5")
    with pytest.raises(PldaError, match=r"plda: no HDF5 file"):
        read(files[0], files[0])
    with pytest.raises(PldaError, match=r"none\.npz: no NumPy archive that can be read"):
        read_npz(tmp_path / "none.npz", files[1])
    np.save(tmp_path / "one.npy", MEAN)
    with pytest.raises(PldaError, match=r"one\.npy: no NumPy archive that can be read"):
        read_npz(tmp_path / "one.npy", files[1])


def npz(folder: Path, **arrays: Array) -> tuple[Path, Path]:
    """As pyannote publishes them."""
    given = {"mu": MEAN, "tr": DIAGONAL, "psi": BETWEEN} | arrays
    np.savez(folder / "plda.npz", **{name: given[name] for name in ("mu", "tr", "psi")})
    moved = {"mean1": RNG.normal(size=5), "mean2": RNG.normal(size=3), "lda": RNG.normal(size=(5, 3))} | arrays
    np.savez(folder / "xvec_transform.npz", **{name: moved[name] for name in ("mean1", "mean2", "lda")})
    return folder / "plda.npz", folder / "xvec_transform.npz"


def test_pyannotes_files_give_the_features_that_its_pipeline_clusters(tmp_path: Path) -> None:
    files = npz(tmp_path)
    found: Plda = read_npz(*files)
    vectors = RNG.normal(size=(7, 5))
    with np.load(files[1]) as moved:
        mean1, mean2, lda = (moved[name] for name in ("mean1", "mean2", "lda"))
    longer = np.sqrt(5) * (vectors - mean1) / np.linalg.norm(vectors - mean1, axis=1, keepdims=True) @ lda - mean2
    theirs = np.sqrt(3) * longer / np.linalg.norm(longer, axis=1, keepdims=True)
    np.testing.assert_allclose(found.directions(vectors), theirs / np.sqrt(3))
    np.testing.assert_allclose(found.features(found.directions(vectors)), (theirs - MEAN) @ DIAGONAL.T)
    assert np.array_equal(found.between, BETWEEN)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"tr": DIAGONAL[:2]}, "mu, tr and psi do not fit"),
        ({"psi": -BETWEEN}, "psi is not above 0"),
        ({"mu": np.array([None])}, "no NumPy archive that can be read .ValueError: Object arrays cannot be loaded"),
        ({"mean1": np.ones((5, 1))}, "no array of 1 dimension named mean1"),
    ],
)
def test_pyannotes_files_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Array], said: str) -> None:
    with pytest.raises(PldaError, match=said) as refused:
        read_npz(*npz(tmp_path, **arrays))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", b"\x93NUMPY"])
def test_an_archive_of_numpy_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    files = npz(tmp_path)
    files[0].write_bytes(content)
    with pytest.raises(PldaError, match=r"plda\.npz: no NumPy archive that can be read"):
        read_npz(*files)


def test_an_archive_gives_its_vectors_by_key() -> None:
    first, second = RNG.normal(size=4).astype(np.float32), RNG.normal(size=4)
    found = kaldi.vectors(b"call-1 \0B" + vector(first, b"F") + b"call-2 \0B" + vector(second))
    assert list(found) == ["call-1", "call-2"]
    assert np.array_equal(found["call-1"], first.astype(np.float64))
    assert np.array_equal(found["call-2"], second)
    assert kaldi.vectors(b"") == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"call-1", "byte 0: the file ends too early"),
        (b"call-1  [ 0.1 0.2 ]\n", "byte 7: .* is missing"),
        (b"a \0B" + vector(BETWEEN) + b"a \0B" + vector(BETWEEN), "the key a stands twice"),
    ],
)
def test_an_archive_that_is_none_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(KaldiError, match=said):
        kaldi.vectors(content)


def test_segments_are_read_in_milliseconds() -> None:
    assert kaldi.segments("a call 0.0 1.44\nb call 305.26 306.59\n") == {"a": (0, 1440), "b": (305_260, 306_590)}
    for line in ("b call 1.0", "b call x 2.0", "b call 0 inf"):
        with pytest.raises(KaldiError, match="line 2: no key, recording, start and end"):
            kaldi.segments("a call 0.0 1.44\n" + line)
