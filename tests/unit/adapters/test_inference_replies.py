"""Whatever the inference service answers: labels that may be stored, or an error about the service."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.inference import _label, _Model, _Parameters, _reply, _ServiceError
from streams.domain.privacy import window_id
from streams.domain.records import Label, Outcome, Role, Window
from streams.domain.scoring import check_label
from streams.domain.unlabelled import Unlabelled

CLASSES = {"arousal.full": ("excited", "neutral"), "category.full": ("anger", "neutral", "sadness")}
MODEL = _Model("demo", _Parameters("b" * 64, 0, CLASSES))
AT = datetime(2026, 1, 1, tzinfo=UTC)

reasons = st.sampled_from(["", *Unlabelled, "because"])
outcomes = st.sampled_from([*Outcome, "guessed"])


def window(number: int) -> Window:
    call = "c" * 64
    start_ms = number * 3000
    return Window(
        window_id(call, Role.CUSTOMER, start_ms),
        call,
        "demo",
        Role.CUSTOMER,
        start_ms,
        start_ms + 3000,
        0,
        AT,
        8000,
        bytes(2),
    )


def texts(values: list[str]) -> bytes:
    return b"".join(len(value).to_bytes(4, "little") + value.encode() for value in values)


def body(tensors: list[tuple[str, str, bytes]]) -> tuple[bytes, str]:
    outputs = [
        {"name": name, "datatype": kind, "shape": [], "parameters": {"binary_data_size": len(data)}}
        for name, kind, data in tensors
    ]
    header = msgspec.json.encode({"outputs": outputs, "parameters": {"bundle_sha256": "b" * 64}})
    return header + b"".join(data for *_, data in tensors), str(len(header))


def answered(scores: list[float], told: list[tuple[str, str]]) -> list[Label]:
    """The labels of `told` windows, all with the same scores."""
    rows = np.tile(np.array(scores, "<f4"), (len(told), 1))
    heads = [("arousal.full", "FP32", rows[:, :2].tobytes()), ("category.full", "FP32", rows[:, 2:].tobytes())]
    names = [(f"{head}.class", "BYTES", texts([classes[0]] * len(told))) for head, classes in CLASSES.items()]
    said = [
        *names,
        ("outcome", "BYTES", texts([one for one, _ in told])),
        ("reason", "BYTES", texts([two for _, two in told])),
    ]
    reply = _reply(*body([*heads, *said]), len(told), MODEL)
    return [_label(window(at), MODEL, reply, at) for at in range(len(told))]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, -0.25, 1e30])
def test_a_label_whose_probabilities_are_none_is_a_failed_one(value: float) -> None:
    (label,) = answered([0.5, 0.5, value, 0.5, 0.5], [("labelled", "")])
    assert (label.outcome, label.reason, label.heads) == (Outcome.FAILED, Unlabelled.NOT_FINITE, {})


@given(
    st.lists(st.floats(width=32), min_size=5, max_size=5),
    st.lists(st.tuples(outcomes, reasons), min_size=1, max_size=3),
)
def test_every_label_may_be_stored_and_holds_probabilities_alone(
    scores: list[float], told: list[tuple[str, str]]
) -> None:
    try:
        labels = answered(scores, told)
    except _ServiceError:
        return
    for label in labels:
        check_label(label)
        assert all(0 <= value <= 1 for row in label.heads.values() for value in row.values())


@given(st.binary(max_size=200), st.none() | st.integers(-10, 300).map(str) | st.text(max_size=5), st.integers(1, 3))
def test_bytes_that_are_no_reply_are_an_error_about_the_service(garbage: bytes, length: str | None, count: int) -> None:
    with pytest.raises(_ServiceError):
        _reply(garbage, length, count, MODEL)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_a_reply_that_was_damaged_on_its_way_raises_nothing_else(at: int, damage: bytes) -> None:
    tensors = [("arousal.full", "FP32", bytes(8)), ("category.full", "FP32", bytes(12))]
    tensors += [(f"{head}.class", "BYTES", texts([classes[0]])) for head, classes in CLASSES.items()]
    whole, length = body([*tensors, ("outcome", "BYTES", texts(["labelled"])), ("reason", "BYTES", texts([""]))])
    at %= len(whole)
    try:
        reply = _reply(whole[:at] + damage + whole[at + len(damage) :], length, 1, MODEL)
        check_label(_label(window(0), MODEL, reply, 0))
    except _ServiceError:
        return


def test_a_window_out_of_domain_that_is_judged_all_the_same_is_a_label_with_the_remark() -> None:
    (label,) = answered([0.75, 0.25, 0.5, 0.25, 0.25], [("abstained", "distance")])
    assert (label.outcome, label.reason) == (Outcome.LABELLED, Unlabelled.DISTANCE)
    assert label.classes == {"arousal.full": "excited", "category.full": "anger"}
    assert label.heads["arousal.full"] == {"excited": 0.75, "neutral": 0.25}


@pytest.mark.parametrize("reason", ["bandwidth", "silent", "too_short"])
def test_a_window_that_is_abstained_from_for_another_reason_has_nothing_said_of_it(reason: str) -> None:
    (label,) = answered([0.5, 0.5, 0.5, 0.25, 0.25], [("abstained", reason)])
    assert (label.outcome, label.reason, label.heads, label.classes) == (Outcome.ABSTAINED, reason, {}, {})


def reply_of(names: list[str], model: _Model) -> Label:
    """The label of a reply with one probability tensor, `arousal.full`, and these classes."""
    tensors = [("arousal.full", "FP32", np.array([0.75, 0.25], "<f4").tobytes())]
    tensors += [(f"{head}.class", "BYTES", texts([name])) for head, name in zip(CLASSES, names, strict=True)]
    tensors += [("outcome", "BYTES", texts(["labelled"])), ("reason", "BYTES", texts([""]))]
    return _label(window(0), model, _reply(*body(tensors), 1, model), 0)


def test_a_head_that_is_not_calibrated_has_a_class_and_no_probabilities() -> None:
    model = _Model("demo", _Parameters("b" * 64, 0, CLASSES, uncalibrated=("category.full",)))
    label = check_label(reply_of(["excited", "sadness"], model))
    assert label.classes == {"arousal.full": "excited", "category.full": "sadness"}
    assert label.heads == {"arousal.full": {"excited": 0.75, "neutral": 0.25}}


def test_a_class_that_the_model_does_not_have_is_an_error_about_the_service() -> None:
    model = _Model("demo", _Parameters("b" * 64, 0, CLASSES, uncalibrated=("category.full",)))
    with pytest.raises(_ServiceError):
        reply_of(["excited", "boredom"], model)
