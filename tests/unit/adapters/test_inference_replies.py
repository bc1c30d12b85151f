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
    said = [("outcome", "BYTES", texts([one for one, _ in told])), ("reason", "BYTES", texts([two for _, two in told]))]
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
    whole, length = body([*tensors, ("outcome", "BYTES", texts(["labelled"])), ("reason", "BYTES", texts([""]))])
    at %= len(whole)
    try:
        reply = _reply(whole[:at] + damage + whole[at + len(damage) :], length, 1, MODEL)
        check_label(_label(window(0), MODEL, reply, 0))
    except _ServiceError:
        return
