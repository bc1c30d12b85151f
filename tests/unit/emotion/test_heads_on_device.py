import numpy as np

from services.emotion.heads import Heads, decisions, fast, fast_decisions
from services.emotion.heads_on_device import on


def test_machines_on_a_device_say_what_they_say_on_a_processor() -> None:
    random = np.random.default_rng(0)
    classes = {"valence.full": ("low", "mid", "high"), "arousal.full": ("low", "high")}
    support, dual = random.normal(size=(600, 40)).astype(np.float32), random.normal(size=(600, 5))
    heads = Heads(classes, np.zeros(40), np.ones(40), support, dual, random.normal(size=5), 1 / 40)
    windows = random.normal(size=(300, 40))
    found, close = fast_decisions(fast(heads, on("cpu")), windows)
    for head, wanted in decisions(heads, windows).items():
        np.testing.assert_allclose(found[head], wanted, atol=1e-4)
        np.testing.assert_array_equal(found[head].argmax(axis=1), wanted.argmax(axis=1))
    assert close.mean() < 0.1
