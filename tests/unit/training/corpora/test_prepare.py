from datetime import UTC, datetime
from pathlib import Path

import pytest
import soundfile
from praatio.utilities.textgrid_io import parseTextgridStr

from services.emotion.bundle import DEMO, load_bundle
from services.recordings import Recording, open_recording
from services.standalone.samples import CALM
from services.timeline import timeline
from services.training.corpora.corpus import Cut
from services.training.corpora.menu import PAPER, menu_of
from services.training.corpora.prepare import Prepared, prepare
from services.training.corpora.textgrids import read_textgrids
from services.training.errors import CorpusError
from streams import usecases
from streams.domain.privacy import Epoch, pseudonym
from streams.domain.records import Role
from streams.domain.schemes import CC_DEBT, CC_SUPPORT

EPOCH = Epoch("2026-11", b"k" * 32, datetime(2026, 11, 1, tzinfo=UTC))
ROLES = (Role.AGENT, Role.CUSTOMER)
CALL = pseudonym(EPOCH, "calm")


def ready(out: Path, *calls: Path, annotators: tuple[str, ...] = ("ann", "bob")) -> list[Prepared]:
    return prepare(calls, out, channels=lambda _: ROLES, annotators=annotators, menu=PAPER, epoch=EPOCH, language="en")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("work") / "prepared"
    ready(out, CALM)
    return out


def fill(grid: Path, *labels: str) -> None:
    """Write these labels into the windows of a TextGrid, one for each tier, as an annotator would."""
    windows = list(_windows())
    text = grid.read_text()
    tiers = text.split("item [")
    for at, label in enumerate(labels):
        for start, end in windows:
            empty = f'xmin = {start:g} \n            xmax = {end:g} \n            text = ""'
            assert empty in tiers[at + 3]
            tiers[at + 3] = tiers[at + 3].replace(empty, empty[:-1] + f'{label}"')
    grid.write_text("item [".join(tiers))


def _windows() -> list[tuple[float, float]]:
    found = timeline(open_recording(CALM), ROLES, load_bundle(DEMO), use_case=usecases.load()["demo"])
    return [(label.start_ms / 1000, label.end_ms / 1000) for label in found.labels]


def test_every_annotator_gets_a_grid_with_the_live_streams_windows_empty_in_each_tier(folder: Path) -> None:
    grids = [(folder / f"{CALL}.{name}.TextGrid").read_text() for name in ("ann", "bob")]
    assert grids[0] == grids[1]
    tiers = parseTextgridStr(grids[0], includeEmptyIntervals=True)["tiers"]
    assert [tier["name"] for tier in tiers] == ["window", "category", "valence", "arousal"]
    numbers = [label for _, _, label in tiers[0]["entries"] if label]
    assert numbers == [str(at) for at in range(1, len(_windows()) + 1)]
    for tier in tiers[1:]:
        spans = [(float(start), float(end)) for start, end, _ in tier["entries"]]
        assert set(_windows()) <= set(spans)
        assert {label for _, _, label in tier["entries"]} == {""}


def test_the_customers_channel_alone_is_there_under_a_pseudonym(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        f"{CALL}.wav",
        f"{CALL}.ann.TextGrid",
        f"{CALL}.bob.TextGrid",
        "LABELS.txt",
        "annotation.json",
        "recordings.csv",
    }
    heard, rate = soundfile.read(folder / f"{CALL}.wav", dtype="int16")
    kept, _ = soundfile.read(CALM, dtype="int16")
    assert rate == 8000
    assert (heard[: len(kept)] == kept[:, 1]).all()
    assert not any("calm" in path.name or b"calm.wav" in path.read_bytes() for path in folder.iterdir())
    assert folder.stat().st_mode & 0o077 == 0


def test_annotators_are_told_the_papers_menu(folder: Path) -> None:
    told = (folder / "LABELS.txt").read_text()
    assert "category: Calm, Nervous, Angry, Annoyed, Surprised, Satisfied\n" in told
    assert "valence: Very Negative, Negative, Neutral, Positive, Very Positive\n" in told
    assert "arousal: Neutral, Slightly Excited, Excited, Very Excited\n" in told
    assert menu_of(CC_SUPPORT) == menu_of(CC_DEBT) == PAPER


def test_what_annotators_fill_in_is_imported_as_windows_cut_by_the_rule(folder: Path) -> None:
    fill(folder / f"{CALL}.ann.TextGrid", "Calm", "Neutral", "Neutral")
    fill(folder / f"{CALL}.bob.TextGrid", "Annoyed", "Negative", "Excited")
    found = read_textgrids(folder).usable()
    assert [(each.start_ms / 1000, each.end_ms / 1000) for each in found.segments] == _windows()
    assert {(each.speaker, each.conversation, each.language) for each in found.segments} == {(CALL, CALL, "en")}
    assert len(found.annotations) == 2 * len(found.segments)
    assert found.cut is Cut.BY_RULE


def test_a_call_that_cannot_be_used_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    with pytest.raises(CorpusError) as refused:
        ready(tmp_path / "out", CALM, tmp_path / "broken.wav", tmp_path / "gone.wav")
    assert str(refused.value).splitlines() == [
        f"{tmp_path}/broken.wav: not audio that can be read; convert it to WAV or FLAC, PCM or G.711",
        f"{tmp_path}/gone.wav: no such file; check the path",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["broken.wav"]


def test_one_mixed_channel_has_nobody_to_annotate(tmp_path: Path) -> None:
    def mixed(_: Recording) -> tuple[Role, ...]:
        return (Role.MIXED, Role.MIXED)

    with pytest.raises(CorpusError, match="nobody to score; name exactly one channel `customer`"):
        prepare([CALM], tmp_path / "out", channels=mixed, annotators=["a"], menu=PAPER, epoch=EPOCH)


@pytest.mark.parametrize(
    ("calls", "annotators", "message"),
    [
        ((CALM, CALM), ("ann",), "two calls are called calm"),
        ((CALM,), ("ann", "ann"), "--annotator 'ann': give each another name"),
        ((CALM,), ("a.b",), "--annotator 'a.b': give each another name, of letters"),
    ],
)
def test_names_that_would_be_mixed_up_are_refused(
    tmp_path: Path, calls: tuple[Path, ...], annotators: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        ready(tmp_path / "out", *calls, annotators=annotators)


def test_a_folder_with_work_in_it_is_never_overwritten(folder: Path) -> None:
    with pytest.raises(CorpusError, match="is there already"):
        ready(folder, CALM)
