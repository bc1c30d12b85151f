from pathlib import Path

import pytest
from unit.training.corpora.planted import record

from services.training.corpora.corpus import Annotation, Segment
from services.training.corpora.iemocap import read_iemocap
from services.training.errors import CorpusError
from services.training.harmonise import harmonise
from streams.domain.schemes import IEMOCAP, Harmonisation, Scheme

HEAD = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
ACTED = """\
[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral; Frustration;\t(a little)
C-E4:\tSadness;\t()
C-F1:\tNeutral;\t(curious)
A-E3:\tval 3; act 2; dom  2;\t()
A-E4:\tval 2; act 3; dom  3;\t(mostly nonverbal)
A-F1:\tval 3; act 2; dom  1;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M000\texc\t[2.5000, 2.5000, 2.5000]
C-E2:\tExcited;\t()
C-E4:\tHappiness;\t()

"""
READ_OUT = """\
[1.0000 - 2.0000]\tSes02M_script01_1b_F001\txxx\t[2.0000, 3.5000, 2.0000]
C-E1:\tAnger;\t()

[3.0000 - 4.0000]\tSes02M_script01_1b_M001\thap\t[4.0000, 3.5000, 2.0000]
C-E1:\tHappiness;\t()

"""


def unpack(release: Path, session: int, dialog: str, text: str, *, sounds: bool = True) -> Path:
    """A dialog in the release's own layout, and the leavings of the machine that packed it."""
    folder = release / f"Session{session}"
    table = folder / "dialog" / "EmoEvaluation" / f"{dialog}.txt"
    (table.parent / "Categorical").mkdir(parents=True, exist_ok=True)
    (table.parent / "Categorical" / f"{dialog}_e2_cat.txt").write_text("not read")
    (table.parent / f"._{dialog}.txt").write_bytes(b"\x00\x05\x16")
    table.write_text(HEAD + text)
    for word in text.split():
        if sounds and word.startswith("Ses"):
            record(folder / "sentences" / "wav" / dialog / f"{word}.wav")
    return table


@pytest.fixture
def release(tmp_path: Path) -> Path:
    unpack(tmp_path, 1, "Ses01F_impro01", ACTED)
    unpack(tmp_path, 2, "Ses02M_script01_1b", READ_OUT)
    return tmp_path


def test_sessions_speakers_sex_and_scripts_come_from_the_release(release: Path) -> None:
    found = read_iemocap(release).usable()
    wav = "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert found.segments[0] == Segment(
        "Ses01F_impro01_F000", wav, 0, 200, "01f", "Ses01F_impro01", session="Session1", sex="f", language="en"
    )
    assert [(each.speaker, each.session, each.text) for each in found.segments] == [
        ("01f", "Session1", ""),
        ("01m", "Session1", ""),
        ("02f", "Session2", "script01_1b"),
        ("02m", "Session2", "script01_1b"),
    ]


def test_annotators_with_one_category_are_kept_and_actors_words_on_themselves_are_not(release: Path) -> None:
    found = read_iemocap(release).usable()
    assert [each for each in found.annotations if each.segment == "Ses01F_impro01_F000"] == [
        Annotation("Ses01F_impro01_F000", "E2", {"category": "neutral"}),
        Annotation("Ses01F_impro01_F000", "E3", {"valence": "3", "arousal": "2"}),
        Annotation("Ses01F_impro01_F000", "E4", {"category": "sadness", "valence": "2", "arousal": "3"}),
    ]


def test_excited_counts_as_happiness_and_what_is_not_agreed_on_as_nothing(release: Path) -> None:
    found = read_iemocap(release).usable()
    assert [each.labels["category"] for each in found.verdicts] == ["neutral", "excited", "no agreement", "happiness"]
    harmonised = harmonise(found, Scheme("iemocap", IEMOCAP.dimensions, Harmonisation(least=1)))
    classes = harmonised.scheme.heads()["category.full"]
    named = [classes[at] if at >= 0 else "" for at in harmonised.targets["category.full"]]
    assert named == ["neutral", "happiness", "", "happiness"]


def test_what_is_missing_or_cannot_be_read_is_named(release: Path) -> None:
    table = unpack(release, 3, "Ses03F_impro01", ACTED.replace("Ses01", "Ses03").replace("exc", "joy"), sounds=False)
    with pytest.raises(CorpusError) as refused:
        read_iemocap(release).usable()
    assert [line.replace(f"{release}/", "") for line in str(refused.value).splitlines()] == [
        (
            f"{table.relative_to(release)}, line 12: no utterance with one of ang, dis, exc, fea, fru, hap, neu, oth,"
            " sad, sur, xxx; unpack the release again"
        ),
        (
            "Session3/sentences/wav/Ses03F_impro01/Ses03F_impro01_F000.wav: no such file; correct the path,"
            " or remove its line"
        ),
    ]


def test_a_folder_that_is_no_release_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="name the folder that holds Session1"):
        read_iemocap(tmp_path).usable()
