"""A bundle of networks: saved and loaded, refused where its files disagree, and judging window by window."""

import json
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from services.emotion.abstention import Reference, placed, refer
from services.emotion.bundle import DEMO, Bundle, load_bundle, save_bundle
from services.emotion.encoders.encoder import Encoder
from services.emotion.encoders.packing import Pack
from services.emotion.features.registry import open_feature
from services.emotion.features.sources import Model
from services.emotion.manifest import (
    MANIFEST,
    NETWORKS,
    WEIGHTS,
    BundleError,
    Described,
    Kind,
    Manifest,
    Scheme,
    conversation_mark,
)
from services.emotion.model import NO_CLASS, judge, names
from services.emotion.networks import Network, Networks, Shape, save_networks
from services.emotion.remembered import remembering
from services.inference.model import heard, metadata, read, reply
from streams.domain.unlabelled import Unlabelled

Window = NDArray[np.float32]
Speech = Callable[[int], Window]
Make = Callable[..., Bundle]

HEADS = {"mood.full": ("bad", "good", "none"), "mood.binary": ("none", "some")}
LAYER = 2
STRIDES = {"conv_stride": (20, 16), "conv_kernel": (40, 16)}  #: 20 ms a frame


@pytest.fixture
def make(saved: Callable[..., Path], speech: Speech, tmp_path: Path) -> Make:
    """Saves a bundle of networks that nobody trained, whose training windows are the sample's own."""
    model = Model(str(saved("wav2vec2", **STRIDES)))

    def made(kind: Kind = "sp", folder: Path = tmp_path / "bundle", seed: int = 0) -> Bundle:
        feature = open_feature("wav2vec2", model)
        torch.manual_seed(seed)
        shapes = {head: Shape(kind, feature.layers, feature.values, classes) for head, classes in HEADS.items()}
        networks = {head: Network(shape).eval() for head, shape in shapes.items()}
        heard = [np.repeat(short(speech(at)), 2) for at in range(4)] * 3
        vectors = feature.vectors(heard)[:, LAYER]
        mean, scale = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)
        points, groups = placed(vectors, mean, scale), np.repeat(np.arange(3, dtype=np.int32), 4)
        reference = Reference(points, groups, limit=refer(points, groups).limit + 20)
        manifest = described(feature.version, model, len(points))
        return save_bundle(folder, manifest, Networks(networks, mean, scale), reference)

    return made


def short(window: Window) -> Window:
    """Its first 1.5 s."""
    return window[:12_000]


def described(version: str, model: Model, windows: int) -> Manifest:
    demo = load_bundle(DEMO).manifest
    marks = tuple(conversation_mark(f"call{number}") for number in range(3))
    return msgspec.structs.replace(
        demo,
        name="networked",
        scheme=Scheme("mood", HEADS),
        feature=Described("wav2vec2", version, LAYER, (model,)),
        training=msgspec.structs.replace(demo.training, windows=windows, conversations=marks),
        calibration={"mood.binary": demo.calibration["arousal.full"][:2]},
        scores={},
    )


@pytest.mark.parametrize("kind", ["sp", "attcp"])
def test_a_bundle_of_networks_comes_back_as_it_was_saved(make: Make, tmp_path: Path, kind: Kind) -> None:
    made, again = make(kind), load_bundle(tmp_path / "bundle")
    assert again.manifest == made.manifest
    assert (again.sha256, again.manifest.head) == (made.sha256, f"dnn-{kind}")
    assert again.heads.classes == HEADS
    assert isinstance(again.heads, Networks)
    for head, network in again.heads.by_head.items():
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, made.heads.by_head[head].state_dict()[name], atol=0, rtol=0)


def test_the_digest_covers_the_networks_and_the_same_networks_are_the_same_bundle(make: Make, tmp_path: Path) -> None:
    first, same, other = make(), make(folder=tmp_path / "same"), make(folder=tmp_path / "other", seed=1)
    assert first.sha256 == same.sha256 != other.sha256


@pytest.mark.parametrize("kind", ["sp", "attcp"])
def test_neighbours_do_not_change_what_networks_say_of_a_window(make: Make, speech: Speech, kind: Kind) -> None:
    bundle = make(kind)
    windows = [short(speech(0)), speech(1)[4_000:14_000], np.zeros(16_000, np.float32), short(speech(2))]
    together = judge(bundle, windows)
    assert together.reasons == (None, None, Unlabelled.SILENT, None)
    for at, window in enumerate(windows):
        alone = judge(bundle, [window])
        assert alone.reasons[0] == together.reasons[at]
        for head in HEADS:
            assert alone.classes[head][0] == together.classes[head][at]
        np.testing.assert_allclose(
            together.probabilities["mood.binary"][at], alone.probabilities["mood.binary"][0], atol=1e-5
        )
    assert names(bundle, together, 2) == ({}, {})
    assert bundle.manifest.uncalibrated == ("mood.full",)
    assert together.classes["mood.full"][0] in range(3)
    assert "mood.full" not in together.probabilities


def test_a_window_far_from_those_that_networks_learnt_is_out_of_domain_and_told(make: Make, speech: Speech) -> None:
    bundle = make()
    near = replace(bundle, reference=replace(bundle.reference, limit=1e-3))
    judged = judge(near, [short(speech(0))])
    assert judged.reasons == (Unlabelled.DISTANCE,)
    assert judged.classes["mood.full"][0] != NO_CLASS


def test_as_many_hidden_layers_are_held_for_networks_as_for_machines_however_many_there_are(
    make: Make, speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, held, states = make(), list[int](), Encoder.states

    def watched(self: Encoder, samples: torch.Tensor, packed: Pack) -> Iterator[torch.Tensor]:
        seen: list[weakref.ref[torch.Tensor]] = []
        for state in states(self, samples, packed):
            seen.append(weakref.ref(state))
            held.append(sum(each() is not None for each in seen))
            yield state

    monkeypatch.setattr(Encoder, "states", watched)
    assert judge(bundle, [short(speech(0)), short(speech(1))]).reasons == (None, None)
    assert (len(held), max(held)) == (bundle.feature.layers, 2)


class Ill:
    """A feature that raises, or gives sums of frames that are no numbers, at one window alone."""

    def __init__(self, well: Any, culprit: int, spoilt: int | None) -> None:  # noqa: ANN401 - any feature
        self._well, self._culprit, self._spoilt = well, culprit, spoilt
        self.rate = well.rate

    def mixed(self, windows: list[Window], weights: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        for at, sums in self._well.mixed(windows, weights):
            ill = len(windows[at]) == self._culprit
            if ill and self._spoilt is None:
                raise ValueError("the customer's words")
            spoiled = sums.clone()
            if ill:
                spoiled[self._spoilt, 0, 0] = torch.nan
            yield at, spoiled


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [(0, Unlabelled.NOT_FINITE), (2, Unlabelled.NOT_FINITE), (None, Unlabelled.MODEL_ERROR)],
    ids=["in the layer that distances are told by", "in what a network hears", "raises"],
)
def test_a_window_whose_frames_are_no_numbers_or_cannot_be_had_fails_alone(
    make: Make, speech: Speech, caplog: pytest.LogCaptureFixture, spoilt: int | None, reason: Unlabelled
) -> None:
    bundle, windows = make(), [short(speech(0)), speech(1)[4_000:14_000], short(speech(2))]
    well = judge(bundle, windows)
    judged = judge(replace(bundle, feature=Ill(bundle.feature, 20_000, spoilt)), windows)
    assert judged.reasons == (None, reason, None)
    for head in HEADS:
        assert judged.classes[head].tolist() == [well.classes[head][0], NO_CLASS, well.classes[head][2]]
    assert not judged.probabilities["mood.binary"][1].any()
    assert "customer's words" not in caplog.text


def test_the_inference_service_serves_a_bundle_of_networks(make: Make, speech: Speech) -> None:
    bundle = make()
    told = metadata(bundle)
    assert told["parameters"]["classes"] == HEADS
    assert [out["name"] for out in told["outputs"] if out["datatype"] == "FP32"] == ["mood.binary"]

    windows = [np.rint(short(speech(at)) * 32_768).astype(int).tolist() for at in range(2)]
    values = {"samples": list(chain(*windows)), "lengths": [len(each) for each in windows], "rate": [8000]}
    datatypes = {"samples": "INT16", "lengths": "INT32", "rate": "INT32"}
    inputs = [
        {"name": name, "datatype": datatypes[name], "shape": [len(data)], "data": data} for name, data in values.items()
    ]
    request, sent = read(json.dumps({"inputs": inputs}).encode(), None, max_windows=2)
    judged = heard(bundle, sent)
    answer = reply(bundle, judged, request)
    answer = {out["name"]: out["data"] for out in json.loads(answer.body)["outputs"]}
    assert judged.reasons == (None, None)
    assert answer["outcome"] == ["labelled", "labelled"]
    assert set(answer["mood.full.class"]) <= set(HEADS["mood.full"])
    assert sum(answer["mood.binary"][:2]) == pytest.approx(1, abs=1e-6)


def test_erasing_a_call_names_the_bundle_of_networks_that_learnt_from_it(make: Make, tmp_path: Path) -> None:
    make()
    assert remembering([tmp_path / "bundle"], {"call1"}).holding == (tmp_path / "bundle",)
    assert remembering([tmp_path / "bundle"], {"call3"}).holding == ()


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def put(folder: Path, content: bytes) -> None:
    """Other networks, and the manifest's sha256 true, as a faulty trainer would."""
    (folder / NETWORKS).write_bytes(content)
    edit(folder, lambda it: it["networks"].update(sha256=sha256(content).hexdigest()))


def networks(kind: Kind = "sp", layers: int = 4, values: int = 16, **heads: tuple[str, ...]) -> bytes:
    classes = heads or HEADS
    return save_networks({head: Network(Shape(kind, layers, values, each)) for head, each in classes.items()})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (lambda: b"\x00" * 100, "cannot be read"),
        (lambda: save({"mood/mix": torch.zeros(4)}), "what it says of its heads cannot be read"),
        (lambda: networks(layers=5), r"mood\.full is .*layers=5.* ask for .*layers=4.*; train it again"),
        (lambda: networks(values=8), r"values=8.* ask for .*values=16"),
        (lambda: networks("attcp"), r"kind='attcp'.* ask for .*kind='sp'"),
        (lambda: networks(**{"mood.full": ("x", "y", "z")}), "has heads mood.full, .* mood.full, mood.binary"),
        (
            lambda: networks(**HEADS | {"mood.full": ("good", "bad", "none")}),
            r"mood\.full is .*classes=\('good', 'bad', 'none'\).* ask for .*classes=\('bad', 'good', 'none'\)",
        ),
    ],
)
def test_networks_that_are_damaged_or_not_what_the_manifest_and_the_feature_ask_for_are_refused(
    make: Make, tmp_path: Path, content: Callable[[], bytes], complaint: str
) -> None:
    make()
    put(tmp_path / "bundle", content())
    with pytest.raises(BundleError, match=rf"networks\.safetensors: .*{complaint}") as raised:
        load_bundle(tmp_path / "bundle")
    assert len(str(raised.value).splitlines()) == 1


def test_a_networks_file_that_is_missing_or_not_the_manifests_is_refused(make: Make, tmp_path: Path) -> None:
    make()
    flipped = bytearray((tmp_path / "bundle" / NETWORKS).read_bytes())
    flipped[-1] ^= 1
    (tmp_path / "bundle" / NETWORKS).write_bytes(flipped)
    with pytest.raises(BundleError, match=r"networks\.safetensors: its sha256 is not the one"):
        load_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / NETWORKS).unlink()
    with pytest.raises(BundleError, match=r"networks\.safetensors: cannot be read"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda it: it["networks"].update(kind="lstm"), r"bundle\.json: .*kind"),
        (lambda it: it.pop("networks"), r"heads\.safetensors: array 'support' must be"),
        (lambda it: it["feature"].update(layer=4), r"bundle\.json: feature wav2vec2 has 4 layer\(s\), no layer 4"),
    ],
)
def test_a_manifest_that_does_not_fit_its_networks_is_refused(
    make: Make, tmp_path: Path, change: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    make()
    edit(tmp_path / "bundle", change)
    with pytest.raises(BundleError, match=complaint):
        load_bundle(tmp_path / "bundle")


def test_networks_for_a_feature_that_has_no_frames_are_refused(make: Make, tmp_path: Path) -> None:
    make()
    demo = load_bundle(DEMO).manifest.feature
    edit(tmp_path / "bundle", lambda it: it.update(feature=msgspec.to_builtins(demo)))
    with pytest.raises(BundleError, match=r"bundle\.json: networks hear frames, and feature .* has none"):
        load_bundle(tmp_path / "bundle")


def test_machines_that_replace_networks_leave_none_of_them(make: Make, tmp_path: Path) -> None:
    make()
    demo = load_bundle(DEMO)
    made = save_bundle(tmp_path / "bundle", demo.manifest, demo.heads, demo.reference)
    assert made.sha256 == demo.sha256
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == [MANIFEST, WEIGHTS]
