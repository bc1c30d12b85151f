"""The subjective study: forms for a listener and a reader, and how far they agree."""

import csv
import re
import shutil
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cli import USER_ERROR, run
from services.recordings import open_recording
from services.standalone.samples import ANGRY, CALM
from services.study_command import shuffled
from services.training.study import QUESTIONS, StudyError, compare, exact, read_forms, write_form

Form = dict[str, dict[str, str]]


def form(overall: Sequence[str], evolution: Sequence[str] | None = None) -> Form:
    evolution = evolution or ["steady"] * len(overall)
    pairs = zip(overall, evolution, strict=True)
    return {f"call-{number:02}": {"overall": one, "evolution": two} for number, (one, two) in enumerate(pairs, 1)}


def test_fifteen_of_fifteen_is_78_to_100_percent_as_in_the_paper() -> None:
    found = exact(15, 15)
    assert (round(found.low, 3), found.high) == (0.782, 1.0)
    calls = form(["neutral"] * 5 + ["emotional"] * 10, ["steady"] * 5 + ["worse"] * 6 + ["better"] * 4)
    for agreement in compare(calls, calls):
        assert (agreement.matched, agreement.calls, agreement.kappa) == (15, 15, 1.0)
        assert f"{agreement.share.low:.0%} to {agreement.share.high:.0%}" == "78% to 100%"
        assert agreement.differences == ()


@pytest.mark.parametrize(
    ("matched", "calls", "low", "high"), [(0, 10, 0.0, 0.3085), (5, 10, 0.1871, 0.8129), (9, 10, 0.555, 0.9975)]
)
def test_the_interval_is_clopper_and_pearsons(matched: int, calls: int, low: float, high: float) -> None:
    found = exact(matched, calls)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_kappa_is_cohens() -> None:
    # 20 + 15 of 50 agree, as in the textbooks: 0.7 observed, 0.5 expected.
    one = ["emotional"] * 25 + ["neutral"] * 25
    other = ["emotional"] * 20 + ["neutral"] * 5 + ["emotional"] * 10 + ["neutral"] * 15
    [overall, evolution] = compare(form(one), form(other))
    assert overall.kappa == pytest.approx(0.4)
    assert isnan(evolution.kappa)  # all calls steady to both: no disagreement was to be expected


def test_the_calls_on_which_they_differ_are_listed() -> None:
    heard, read = form(["neutral", "emotional", "emotional"]), form(["neutral", "neutral", "unclear"])
    [overall, evolution] = compare(heard, read)
    assert [(each.call, each.listener, each.reader) for each in overall.differences] == [
        ("call-02", "emotional", "neutral"),
        ("call-03", "emotional", "unclear"),
    ]
    assert (overall.matched, evolution.matched) == (1, 3)


answered = st.lists(
    st.tuples(*(st.tuples(st.sampled_from(each), st.sampled_from(each)) for each in QUESTIONS.values())),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)  # scikit-learn takes its time at first
@given(answered)
def test_agreement_is_the_same_whoever_is_called_the_listener(
    pairs: list[tuple[tuple[str, str], tuple[str, str]]],
) -> None:
    listener, reader = (form([one[at] for one, _ in pairs], [two[at] for _, two in pairs]) for at in (0, 1))
    for there, back in zip(compare(listener, reader), compare(reader, listener), strict=True):
        assert (there.matched, there.share) == (back.matched, back.share)
        assert there.kappa == pytest.approx(back.kappa, nan_ok=True)
        assert there.share.low <= there.share.value <= there.share.high
        assert there.matched + len(there.differences) == len(pairs)


def test_a_form_is_read_as_it_was_filled_in(tmp_path: Path) -> None:
    heard, read = form(["neutral", "emotional"]), form(["unclear", "emotional"], ["better", "worse"])
    paths = tmp_path / "listener.csv", tmp_path / "reader.csv"
    for path, answers in zip(paths, (heard, read), strict=True):
        write_form(path, answers)
    assert read_forms(*paths) == (heard, read)


def test_every_problem_of_both_forms_is_told_at_once(tmp_path: Path) -> None:
    listener, reader = tmp_path / "listener.csv", tmp_path / "reader.csv"
    listener.write_text("call,overall,evolution,notes\ncall-01,angry,worse,\ncall-02,,,\ncall-03,neutral,up,\n")
    reader.write_text("call,overall,evolution\ncall-01,neutral,steady\ncall-01,neutral,steady\n")
    with pytest.raises(StudyError) as refused:
        read_forms(listener, reader)
    assert str(refused.value).splitlines() == [
        f"{listener}, line 3: no overall",
        f"{listener}, line 3: no evolution",
        f"{listener}, line 2: overall is 'angry'; write one of neutral, emotional, unclear",
        f"{listener}, line 4: evolution is 'up'; write one of better, steady, worse, unclear",
        f"{reader}, line 3: call-01 is there twice; remove a line",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column call, overall, evolution"),
        ("call,overall,evolution\n", "no calls in it; fill in a form that `undertone study prepare` made"),
        ("call,overall,evolution,agent\n", "unknown column 'agent'"),  # nobody but the customer is judged
        ("call,overall,evolution\ncall-02,neutral,steady\n", "lacks call-01, which the other form has"),
    ],
)
def test_a_form_that_is_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    write_form(tmp_path / "good.csv", form(["neutral"]))
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(StudyError, match=re.escape(message)):
        read_forms(tmp_path / "good.csv", tmp_path / "bad.csv")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two sample calls, named as a contact centre would not want them named."""
    folder = tmp_path_factory.mktemp("calls")
    for path, name in ((ANGRY, "34911223344-mustermann"), (CALM, "34955667788-fulano")):
        shutil.copy(path, folder / f"{name}.wav")
    return folder


@pytest.fixture(scope="module")
def study(calls: Path) -> Path:
    out = calls.parent / "study"
    assert run(["study", "prepare", str(calls), "--out", str(out), "--seed", "2"]) == 0
    return out


def read(path: Path) -> list[Mapping[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_both_forms_have_the_same_calls_under_pseudonyms(study: Path) -> None:
    forms = [read(study / who / "form.csv") for who in ("listener", "reader")]
    assert forms[0] == forms[1] == [{"call": f"call-0{n}", "overall": "", "evolution": "", "notes": ""} for n in (1, 2)]
    for who in ("listener", "reader"):
        page = (study / who / "form.html").read_text()
        assert [name in page for name in ("call-01", "call-02")] == [True, True]
        assert not re.search(r"mustermann|fulano|3491122|3495566", page)


def test_the_key_alone_says_which_recording_a_call_is(study: Path, calls: Path) -> None:
    key = {row["call"]: Path(row["recording"]) for row in read(study / "key.csv")}
    assert set(key.values()) == {path.resolve() for path in calls.iterdir()}
    assert {call: (study / "listener" / f"{call}.wav").resolve() for call in key} == key
    assert (study / "key.csv").stat().st_mode & 0o077 == 0


def test_the_listener_hears_and_sees_no_judgement_and_the_reader_sees_and_hears_nothing(study: Path) -> None:
    listener, reader = ((study / who / "form.html").read_text() for who in ("listener", "reader"))
    assert '<audio controls preload="none" src="call-01.wav">' in listener
    assert "img" not in re.findall(r"<(\w+)", listener)
    assert "valence" not in listener
    assert "audio" not in re.findall(r"<(\w+)", reader)
    assert sorted(path.name for path in (study / "reader").iterdir()) == ["form.csv", "form.html"]
    assert reader.count("data:image/png;base64,") == 2
    assert all(head in reader for head in ("category.full", "category.binary", "valence.full", "arousal.full"))
    assert "worse" in re.findall(r"<b>(\w+)</b>", reader)  # an answer to choose, not one that is given
    assert "trend" not in reader


def test_a_form_needs_nothing_beside_it_but_the_audio(study: Path) -> None:
    for who in ("listener", "reader"):
        sources = re.findall(r'(?:src|href)="([^"]{0,40})', (study / who / "form.html").read_text())
        assert all(source.startswith(("data:image/png;base64,", "call-0")) for source in sources)


def test_the_programs_own_answers_are_a_form_too(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = {row["call"]: row["recording"] for row in read(study / "key.csv")}
    answers = {key[row["call"]]: (row["overall"], row["evolution"]) for row in read(study / "automatic.csv")}
    assert {name[-10:-4]: said for name, said in answers.items()} == {
        "ermann": ("emotional", "worse"),
        "fulano": ("neutral", "steady"),
    }
    automatic = str(study / "automatic.csv")
    assert run(["study", "compare", automatic, automatic]) == 0
    assert "2 of 2" in capsys.readouterr().out


def test_the_seed_decides_the_order() -> None:
    recordings = [open_recording(path) for path in (ANGRY, CALM)]
    orders = [tuple(each.path.stem for each in shuffled(recordings, seed)) for seed in range(8)]
    assert orders == [tuple(each.path.stem for each in shuffled(recordings, seed)) for seed in range(8)]
    assert set(orders) == {("angry", "calm"), ("calm", "angry")}


def test_compare_shows_figures_with_their_intervals_and_the_calls_that_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_form(tmp_path / "heard.csv", form(["neutral"] * 4 + ["emotional"] * 6))
    write_form(tmp_path / "read.csv", form(["neutral"] * 4 + ["emotional"] * 5 + ["neutral"]))
    assert run(["study", "compare", str(tmp_path / "heard.csv"), str(tmp_path / "read.csv")]) == 0
    shown = capsys.readouterr().out
    assert "9 of 10" in shown
    assert "90% [55%, 100%]" in shown
    assert "0.80" in shown
    assert "call-10, overall: listener emotional, reader neutral" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{calls}", "--side", "agent"], "--side agent: only the customer is judged"),
        (["{calls}", "--channels", "agent,mixed"], "nobody to score"),
        (["{calls}", "{calls}"], "named twice"),
        (["{calls}", "--out", "{calls}"], "is there already; name a new folder"),
        (["{empty}"], "no recordings in it"),
    ],
)
def test_what_a_user_gets_wrong_is_told_and_nothing_is_written(
    arguments: list[str], message: str, calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    given = [each.format(calls=calls, empty=tmp_path / "empty") for each in arguments]
    given += [] if "--out" in given else ["--out", str(tmp_path / "made" / "out")]
    assert run(["study", "prepare", *given]) == USER_ERROR
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_every_recording_that_cannot_be_heard_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "b.wav").write_bytes(b"no audio at all")
    assert run(["study", "prepare", str(tmp_path), "gone.wav", "--out", str(tmp_path / "out")]) == USER_ERROR
    told = capsys.readouterr().err
    assert [name in told for name in ("a.wav: not audio", "b.wav: not audio", "gone.wav: no such file")] == [True] * 3
    assert not (tmp_path / "out").exists()
