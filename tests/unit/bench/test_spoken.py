import pytest

from ops.bench.spoken import RATE, customers, judged, refuse_unjudged
from services.emotion.bundle import DEMO, Bundle, load_bundle
from services.inference.model import Sent, heard, reply
from services.inference.oip import InferRequest


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(DEMO)


def replied(bundle: Bundle, windows: list[Sent]) -> bytes:
    request = InferRequest(None, {}, None, binary=False)
    return reply(bundle, heard(bundle, windows), request).body


def test_every_window_that_the_bench_sends_is_labelled(bundle: Bundle) -> None:
    windows = judged(bundle, 4, 5)
    assert [len(each) for each in windows] == [5 * RATE] * 4
    refuse_unjudged([replied(bundle, [Sent(each, RATE) for each in windows])], 4)


def test_a_reply_that_refuses_a_window_fails_the_bench(bundle: Bundle) -> None:
    spoken, silence = judged(bundle, 1, 5)[0], customers()[:1] * 0
    half = replied(bundle, [Sent(spoken, RATE), Sent(silence.repeat(RATE * 5), RATE)])
    with pytest.raises(RuntimeError, match="labels 1 windows of 2"):
        refuse_unjudged([half], 2)


def test_more_windows_than_the_samples_hold_are_not_made_up(bundle: Bundle) -> None:
    with pytest.raises(RuntimeError, match="not 1000"):
        judged(bundle, 1_000, 5)
