import json
from itertools import chain
from typing import Any

import numpy as np
import pytest

from services.emotion.bundle import DEMO, Bundle, load_bundle
from services.inference.model import heard, metadata, read, reply
from services.inference.oip import RequestError


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return load_bundle(DEMO)


def hum(rate: int, seconds: float) -> list[int]:
    time = np.arange(int(rate * seconds)) / rate
    tone = sum(np.sin(2 * np.pi * 140 * n * time) / n for n in range(1, 20)) * np.sin(np.pi * 4 * time) ** 2
    return np.rint(3000 * tone).astype(int).tolist()


def asked(bundle: Bundle, windows: list[list[int]], *, hertz: int = 8000, **changed: list[int]) -> dict[str, Any]:
    values = {
        "samples": list(chain(*windows)),
        "lengths": [len(window) for window in windows],
        "rate": [hertz],
        **changed,
    }
    datatypes = {"samples": "INT16", "lengths": "INT32", "rate": "INT32"}
    inputs = [
        {"name": name, "datatype": datatypes[name], "shape": [len(data)], "data": data} for name, data in values.items()
    ]
    asked, sent = read(json.dumps({"inputs": inputs}).encode(), None, max_windows=3)
    answer = reply(bundle, heard(bundle, sent), asked)
    return {out["name"]: out["data"] for out in json.loads(answer.body)["outputs"]}


def test_metadata_names_the_classes_in_the_order_of_the_columns(demo: Bundle) -> None:
    told = metadata(demo)
    columns = {out["name"]: out["shape"][1] for out in told["outputs"] if out["datatype"] == "FP32"}
    assert columns == {head: len(classes) for head, classes in told["parameters"]["classes"].items()}
    texts = {out["name"] for out in told["outputs"] if out["datatype"] == "BYTES"}
    assert texts == {*(f"{head}.class" for head in columns), "outcome", "reason"}
    assert told["parameters"]["bundle_sha256"] == demo.sha256


def test_windows_are_cut_out_of_the_samples_by_their_lengths(demo: Bundle) -> None:
    windows = [hum(8000, 2.5), [0] * 16_000, hum(8000, 3)]
    found = asked(demo, windows)
    assert found["outcome"] == ["abstained", "abstained", "abstained"]
    assert found["reason"] == ["distance", "silent", "distance"]  # no voice, yet it is told what would be said of one
    assert found["arousal.full.class"][1] == ""
    assert {found["arousal.full.class"][at] for at in (0, 2)} <= {"excited", "neutral"}
    alone = asked(demo, windows[2:])
    assert found["category.full"][8:] == pytest.approx(alone["category.full"], abs=1e-6)


def test_another_rate_is_resampled_to_the_bundles(demo: Bundle) -> None:
    narrow = asked(demo, [hum(8000, 3)])
    wide = asked(demo, [hum(16_000, 3)], hertz=16_000)
    assert wide["arousal.full"] == pytest.approx(narrow["arousal.full"], abs=0.1)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"lengths": []}, "1 to 3 windows"),
        ({"lengths": [1, 1, 1, 1]}, "1 to 3 windows"),
        ({"lengths": [0, 2]}, "every window needs 1 sample to 60 s"),
        ({"lengths": [-1, 3]}, "every window needs 1 sample to 60 s"),
        ({"lengths": [3]}, "their sum must be the number of samples"),
        ({"lengths": [2**31 - 1]}, "every window needs 1 sample to 60 s"),
        ({"rate": [7999]}, "input rate: one value, 8000 to 48000 Hz"),
        ({"rate": [8000, 8000]}, "input rate: one value, 8000 to 48000 Hz"),
        ({"rate": []}, "input rate: one value, 8000 to 48000 Hz"),
    ],
)
def test_inputs_that_do_not_fit_together_are_refused(
    demo: Bundle, changed: dict[str, list[int]], complaint: str
) -> None:
    with pytest.raises(RequestError, match=complaint):
        asked(demo, [[1, 2]], **changed)
