from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from services.cli import USER_ERROR, run
from services.emotion.bundle import DEMO, Bundle, load_bundle, save_bundle
from services.recordings import RecordingError, open_recording
from services.standalone.samples import ANGRY, CALM
from services.timeline import Timeline, episodes, evolved, timeline
from streams import usecases
from streams.domain.records import Outcome, Role
from streams.domain.windows import MAX_WINDOW_MS, MIN_WINDOW_MS, Fate

ROLES = (Role.AGENT, Role.CUSTOMER)
USE_CASE = (resources.files("streams") / "builtin" / "demo.yaml").read_text()
OTHER_SCHEME = """
scheme:
  name: other
  dimensions:
    category: {classes: {anger: [anger], neutral: [neutral]}, binary: {emotional: [anger], neutral: [neutral]}}
    valence: {classes: {negative: [anger], neutral: [neutral]}, binary: {}}
    arousal: {classes: {excited: [anger], neutral: [neutral]}, binary: {}}
""".strip()


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(DEMO)


def heard(path: Path, bundle: Bundle, roles: tuple[Role, ...] = ROLES) -> Timeline:
    return timeline(open_recording(path), roles, bundle, use_case=usecases.load()["demo"])


def test_the_angry_sample_would_escalate_once_and_the_calm_one_never(bundle: Bundle) -> None:
    demo = usecases.load()["demo"]
    raised = {path.stem: len(episodes(heard(path, bundle), demo)) for path in (ANGRY, CALM)}
    assert raised == {"angry": 1, "calm": 0}


def test_the_angry_sample_gets_worse_and_the_calm_one_stays_neutral(bundle: Bundle) -> None:
    demo = usecases.load()["demo"]
    angry, calm = evolved(heard(ANGRY, bundle), demo), evolved(heard(CALM, bundle), demo)
    assert angry
    assert calm
    assert (angry.overall, angry.trend, angry.strongest_ms is None) == ("emotional", "worse", False)
    assert (calm.overall, calm.trend, calm.strongest_ms is None) == ("neutral", "steady", True)


@pytest.mark.parametrize("path", [ANGRY, CALM], ids=["angry", "calm"])
def test_a_sample_has_windows_enough_and_is_small(path: Path, bundle: Bundle) -> None:
    labels = heard(path, bundle).labels
    assert len(labels) >= 5
    assert all(label.outcome is Outcome.LABELLED for label in labels)
    assert path.stat().st_size < 1_000_000


def test_every_millisecond_of_both_channels_has_a_fate(bundle: Bundle) -> None:
    found = heard(CALM, bundle)
    assert [sum(fates.values()) for fates in found.fates] == [found.recording.duration_ms] * 2


def test_windows_lie_within_the_rule_and_sum_up_to_their_fate(bundle: Bundle) -> None:
    found = heard(ANGRY, bundle)
    lengths = [label.end_ms - label.start_ms for label in found.labels]
    assert all(MIN_WINDOW_MS <= length < MAX_WINDOW_MS for length in lengths)
    assert sum(lengths) == found.fates[1][Fate.WINDOW]
    assert Fate.WINDOW not in found.fates[0]


def test_the_customer_alone_is_labelled(bundle: Bundle) -> None:
    straight, swapped = heard(ANGRY, bundle), heard(ANGRY, bundle, ROLES[::-1])
    spans = [{(label.start_ms, label.end_ms) for label in found.labels} for found in (straight, swapped)]
    assert spans[0].isdisjoint(spans[1])
    assert {label.role for found in (straight, swapped) for label in found.labels} == {Role.CUSTOMER}


def test_another_rate_is_heard_alike(tmp_path: Path, bundle: Bundle) -> None:
    samples, rate = soundfile.read(ANGRY, dtype="float32")
    wide = np.repeat(samples, 2, axis=0)  # crude, yet the same speech at the same times
    soundfile.write(tmp_path / "wide.wav", wide, rate * 2)
    found = heard(tmp_path / "wide.wav", bundle)
    assert found.recording.rate == 16000
    assert all(label.outcome is Outcome.LABELLED for label in found.labels)
    assert len(found.labels) >= 5


@pytest.mark.parametrize(
    ("roles", "message"),
    [((Role.CUSTOMER,), "has 2 channels, 1 role"), ((Role.AGENT, Role.MIXED), "nobody to score")],
)
def test_roles_that_name_no_customer_or_too_few_channels_are_refused(
    roles: tuple[Role, ...], message: str, bundle: Bundle
) -> None:
    with pytest.raises(RecordingError, match=message):
        heard(CALM, bundle, roles)


def test_the_command_shows_a_row_a_window_and_draws_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "angry.png"
    assert run(["label", str(ANGRY), "--png", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "Windows: 6" in shown
    assert "Escalations: 1" in shown
    assert "Generally emotional, trend worse: by third" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_recording_of_one_channel_needs_no_roles_and_what_is_not_certain_is_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pcm, rate = soundfile.read(ANGRY, dtype="int16")
    soundfile.write(tmp_path / "mono.wav", (pcm.astype(np.int32).sum(axis=1) // 2).astype(np.int16), rate)
    assert run(["label", str(tmp_path / "mono.wav"), "--png", str(tmp_path / "mono.png")]) == 0
    assert "Channels 1: mixed. Windows: " in capsys.readouterr().out


def test_a_recording_without_a_word_is_an_empty_timeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "hush.wav", np.zeros((16_000, 2), np.int16), 8000)
    assert run(["label", str(tmp_path / "hush.wav"), "--png", str(tmp_path / "hush.png")]) == 0
    shown = capsys.readouterr().out
    assert "Windows: 0" in shown
    assert "Generally unclear, trend unclear: by third -, -, - % emotional" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.wav"], "gone.wav: no such file; check the path"),
        ([str(CALM), "--channels", "agent,bob"], "--channels agent,bob: write customer, agent, mixed"),
        ([str(CALM), "--channels", "customer"], "has 2 channels, --channels names 1"),
        ([str(CALM), "--channels", "agent,mixed"], "nobody to score"),
        ([str(CALM), "--use-case", "none"], "--use-case none: not there; choose one of demo"),
        ([str(CALM), "--bundle", "none"], "none/bundle.json: cannot be read"),
        ([str(CALM), "--png", "none/calm.png"], "none/calm.png: cannot be written"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(arguments, capsys)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("bundle: demo", "bundle: ours"), "asks for bundle 'ours': name its folder with --bundle or in UNDERTONE_INF"),
        (("demo: true", "demo: false"), "is 'demo' for demonstrations only, use case demo asks for 'demo'; name"),
        (("scheme: emodb", OTHER_SCHEME), "'demo' does not tell apart what scheme 'other' of use case demo does"),
    ],
)
def test_a_bundle_whose_labels_the_live_stream_would_not_take_is_refused(
    changed: tuple[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo.yaml").write_text(USE_CASE.replace(*changed))
    assert message in refused([str(CALM), "--use-cases", str(tmp_path)], capsys)


def test_a_rule_that_asks_how_likely_a_class_is_refuses_a_bundle_that_does_not_tell(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {head: each for head, each in bundle.manifest.calibration.items() if head != "arousal.full"}
    manifest = msgspec.structs.replace(bundle.manifest, calibration=kept)
    save_bundle(tmp_path / "bundle", manifest, bundle.heads, bundle.reference)
    (tmp_path / "demo.yaml").write_text(USE_CASE.replace("any_of: [excited]", "at_least: {excited: 0.5}"))
    line = refused([str(CALM), "--use-cases", str(tmp_path), "--bundle", str(tmp_path / "bundle")], capsys)
    assert "--bundle: 'demo' gives no probabilities of arousal.full, which a rule of use case demo asks for" in line


def test_classes_are_shown_without_probabilities_where_the_bundle_gives_none(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = msgspec.structs.replace(bundle.manifest, calibration={})
    save_bundle(tmp_path / "bundle", manifest, bundle.heads, bundle.reference)
    options = ["--bundle", str(tmp_path / "bundle"), "--png", str(tmp_path / "calm.png")]
    assert run(["label", str(CALM), *options]) == 0
    shown = capsys.readouterr().out
    assert "neutral" in shown
    assert "%" not in shown.partition("Channels")[0]  # the table's; below it are shares of speech


def test_the_bundle_and_the_use_cases_are_those_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo.yaml").write_text(USE_CASE.replace("bundle: demo", "bundle: ours"))
    monkeypatch.setenv("UNDERTONE_USE_CASES", str(tmp_path))
    monkeypatch.setenv("UNDERTONE_INFERENCE_BUNDLE", str(DEMO))
    assert "--bundle: is 'demo' for demonstrations only, use case demo asks for 'ours'" in refused([str(CALM)], capsys)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line on stderr that `undertone label` ends with."""
    assert run(["label", *arguments]) == USER_ERROR
    return capsys.readouterr().err.splitlines()[-1]
