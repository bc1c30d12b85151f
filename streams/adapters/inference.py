"""The inference service as a port: Open Inference Protocol v2 over HTTP, many windows a request, in binary tensors."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import groupby
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.domain.records import Label, Outcome, Window
from streams.domain.scoring import Served
from streams.domain.unlabelled import Unlabelled
from streams.metrics import Metrics

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_WINDOWS = 64  #: a request
MAX_BYTES = 4 * 1024 * 1024  #: a request, unless one window is larger; a minute's work for a large encoder on a CPU
REFUSALS = {400, 413, 422}  #: about this request; every other failure is about the service and is waited for
TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=5)
SILENT_S = 5.0  #: without an answer to a request: the service is waited for, though it may yet answer
MAX_RETRY_AFTER_S = 30

T = TypeVar("T")

log = logging.getLogger(__name__)


class _ServiceError(Exception):
    """The service did not answer as it should; asking again may help."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _Parameters(msgspec.Struct, frozen=True):
    bundle_sha256: str = ""
    binary_data_size: int = 0
    classes: dict[str, tuple[str, ...]] = {}
    uncalibrated: tuple[str, ...] = ()  #: heads that name a class and no probabilities
    demo_only: bool = False


class _Model(msgspec.Struct, frozen=True):
    """What the service says of its model."""

    name: str
    parameters: _Parameters

    @property
    def served(self) -> Served:
        return Served(self.name, self.parameters.demo_only)


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: _Parameters


class _Header(msgspec.Struct):
    outputs: list[_Output]
    parameters: _Parameters


@dataclass(frozen=True, slots=True)
class _Reply:
    """A reply's tensors: FP32 as arrays (windows, classes), BYTES as texts."""

    bundle: str
    scores: Mapping[str, NDArray[np.float32]]
    texts: Mapping[str, list[str]] = field(repr=False)


class InferenceClient:
    """An `Emotion` that never gives up: while the service is down, busy or failing it waits and asks again.

    Windows go to the bundle that their use case asks for: `wanted` has what each does. A request that is refused is
    halved until the window at fault is alone, and that one is `failed`, as is one whose use case's bundle is missing.
    """

    def __init__(
        self,
        address: str,
        metrics: Metrics,
        wanted: Mapping[str, Served],
        *,
        waits_s: tuple[float, float] = (0.1, 5.0),
        silent_s: float = SILENT_S,
    ) -> None:
        self._address = address.rstrip("/")
        self._metrics = metrics
        self._wanted = wanted
        self._waits_s = waits_s  # first and longest
        self._silent_s = silent_s
        self._opened: aiohttp.ClientSession | None = None
        self._models: Sequence[_Model] = ()
        self._lacking: list[str] = []  # use cases whose bundle is not served, as was told
        self._unanswered: set[object] = set()  # requests for which the service is waited for
        self.answered: Callable[[], None] = lambda: None  #: called at every answer: a long batch gets on

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._opened is not None:
            await self._opened.close()

    @property
    def waiting(self) -> bool:
        """Whether a request found no service, or has had no answer for a while."""
        return bool(self._unanswered)

    @property
    def _session(self) -> aiohttp.ClientSession:
        """Opened when it is first used: it belongs to the event loop that runs then."""
        if self._opened is None:
            self._opened = aiohttp.ClientSession(timeout=TIMEOUT)
        return self._opened

    async def label(self, windows: Sequence[Window]) -> list[Label]:
        """One label a window, in order."""
        labels: dict[int, Label] = {}
        for wish in dict.fromkeys(self._wish(window) for window in windows):
            places = [at for at, window in enumerate(windows) if self._wish(window) == wish]
            for group in _requests([windows[at] for at in places]):
                found = await self._judged([windows[places[at]] for at in group], wish)
                labels.update(zip((places[at] for at in group), found, strict=True))
        return [labels[at] for at in range(len(windows))]

    def _wish(self, window: Window) -> Served | None:
        """The bundle that the window's use case asks for."""
        return self._wanted.get(window.use_case)

    async def _judged(self, windows: Sequence[Window], wish: Served | None) -> list[Label]:
        """The labels of windows that share a rate and a wish."""
        with self._metrics.timed("inference_seconds"):
            model, reply = await self._patiently(windows, wish)
        if reply is not None:
            labels = [_label(window, model, reply, at) for at, window in enumerate(windows)]
            return [self._by_its_own_bundle(label, model) for label in labels]
        if len(windows) == 1:
            return [_unlabelled(windows[0], model, Outcome.FAILED, Unlabelled.REFUSED)]
        half = len(windows) // 2
        return [*await self._judged(windows[:half], wish), *await self._judged(windows[half:], wish)]

    def _by_its_own_bundle(self, label: Label, model: _Model) -> Label:
        if self._wanted.get(label.use_case, model.served) == model.served:
            return label
        return replace(label, outcome=Outcome.FAILED, heads={}, classes={}, reason=Unlabelled.OTHER_BUNDLE)

    async def _patiently(self, windows: Sequence[Window], wish: Served | None) -> tuple[_Model, _Reply | None]:
        """Ask until the service answers; None where it refuses the request."""
        wait, longest = self._waits_s
        with self._timely() as late:
            while True:
                try:
                    answer = await self._asked(windows, wish)
                except (aiohttp.ClientError, TimeoutError, _ServiceError) as error:
                    late()
                    log.warning("waiting for the inference service", extra={"reason": str(error)})
                    await asyncio.sleep(max(wait, getattr(error, "retry_after_s", 0)))
                    wait = min(2 * wait, longest)
                else:
                    self.answered()
                    return answer

    @contextmanager
    def _timely(self) -> Iterator[Callable[[], None]]:
        """Within, a request has its answer in time until it says `late` or the time is over; after it nobody waits."""
        request = object()

        def late() -> None:
            self._unanswered.add(request)
            self._show()

        silent = asyncio.get_running_loop().call_later(self._silent_s, late)
        try:
            yield late
        finally:
            silent.cancel()
            self._unanswered.discard(request)
            self._show()

    def _show(self) -> None:
        self._metrics.set("waiting", int(self.waiting), dependency="inference")

    async def _asked(self, windows: Sequence[Window], wish: Served | None) -> tuple[_Model, _Reply | None]:
        model = await self._chosen(wish)
        header, body = _request(windows)
        headers = {HEADER_LENGTH: str(len(header)), "Content-Type": "application/octet-stream"}
        url = f"{self._address}/v2/models/{model.name}/infer"
        async with self._session.post(url, data=BytesIO(header + body), headers=headers) as response:
            if response.status in REFUSALS:
                return model, None
            body = await self._read(response)
        try:
            reply = _reply(body, response.headers.get(HEADER_LENGTH), len(windows), model)
        except _ServiceError:
            self._models = ()  # another bundle may be served by now, with other classes
            raise
        if reply.bundle != model.parameters.bundle_sha256:
            self._models = ()
            raise _ServiceError("another bundle is served than before")
        return model, reply

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status == 200:
            return await response.read()
        if response.status == 404:
            self._models = ()  # it may go by another name now
        raise _ServiceError(f"status {response.status}", _retry_after(response.headers.get("Retry-After", "")))

    async def _chosen(self, wish: Served | None) -> _Model:
        """The bundle of this wish, which may have been loaded a moment ago; any where there is none, or no wish."""
        if not self._models or wish not in {None, *(model.served for model in self._models)}:
            self._models = await self._fetch_models()
        return next((model for model in self._models if model.served == wish), self._models[0])

    async def _fetch_models(self) -> list[_Model]:
        """What the models of the service are called, and their classes."""
        async with self._session.post(f"{self._address}/v2/repository/index") as response:
            found = _decoded(await self._read(response), list[dict[str, Any]])
        if not found:
            raise _ServiceError("no model is served")
        models = [await self._fetch_model(str(each.get("name"))) for each in found]
        self._complain([model.served for model in models])
        return models

    async def _fetch_model(self, name: str) -> _Model:
        async with self._session.get(f"{self._address}/v2/models/{name}") as response:
            return _decoded(await self._read(response), _Model)

    def _complain(self, served: Sequence[Served]) -> None:
        lacking = sorted(name for name, wanted in self._wanted.items() if wanted not in served)
        if lacking and lacking != self._lacking:
            names = ", ".join(each.name for each in served)
            said = {"served": names, "demo_only": any(each.demo for each in served), "use_cases": lacking}
            log.error("use cases ask for another bundle than is served: their windows fail", extra=said)
        self._lacking = lacking


def _retry_after(text: str) -> float:
    return min(float(text), MAX_RETRY_AFTER_S) if text.isdecimal() else 0.0


def _requests(windows: Sequence[Window]) -> Iterator[list[int]]:
    """Places of the windows that go into one request together: of one rate, within both limits."""
    by_rate = sorted(range(len(windows)), key=lambda at: windows[at].rate)
    for _, places in groupby(by_rate, key=lambda at: windows[at].rate):
        group: list[int] = []
        size = 0
        for at in places:
            if group and (len(group) == MAX_WINDOWS or size + len(windows[at].data) > MAX_BYTES):
                yield group
                group, size = [], 0
            group.append(at)
            size += len(windows[at].data)
        yield group


def _request(windows: Sequence[Window]) -> tuple[bytes, bytes]:
    """JSON header and binary tensors of one request. Half a sample at a window's end must not shift its neighbours."""
    parts = [np.frombuffer(window.data, ">i2", len(window.data) // 2) for window in windows]
    tensors = {
        "samples": ("INT16", np.concatenate(parts).astype("<i2")),
        "lengths": ("INT32", np.array([len(part) for part in parts], "<i4")),
        "rate": ("INT32", np.array([windows[0].rate], "<i4")),
    }
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, (datatype, array) in tensors.items()
    ]
    header = msgspec.json.encode({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return header, b"".join(array.tobytes() for _, array in tensors.values())


def _reply(body: bytes, header_length: str | None, windows: int, model: _Model) -> _Reply:
    """Decode a reply and check that it says of every window what the model promised."""
    end = int(header_length) if header_length and header_length.isdecimal() else len(body)
    header = _decoded(body[:end], _Header)
    scores: dict[str, NDArray[np.float32]] = {}
    texts: dict[str, list[str]] = {}
    for output in header.outputs:
        data, end = body[end : end + output.parameters.binary_data_size], end + output.parameters.binary_data_size
        if output.datatype == "FP32":
            scores[output.name] = _floats(data, windows)
        else:
            texts[output.name] = _texts(data)
    _check(scores, texts, windows, model)
    return _Reply(header.parameters.bundle_sha256, scores, texts)


def _check(
    scores: Mapping[str, NDArray[np.float32]], texts: Mapping[str, list[str]], windows: int, model: _Model
) -> None:
    parameters = model.parameters
    promised = {
        head: (windows, len(names)) for head, names in parameters.classes.items() if head not in parameters.uncalibrated
    }
    given = {head: rows.shape for head, rows in scores.items()}
    told = [*zip(texts.get("outcome", ()), texts.get("reason", ()), strict=False)]
    judged = [_is_judged(*pair) for pair in told]
    if (
        given != promised
        or len(told) != windows
        or not all(_fits(outcome, reason) for outcome, reason in told)
        or not all(_names(texts.get(f"{head}.class", []), judged, names) for head, names in parameters.classes.items())
    ):
        raise _ServiceError("the reply's tensors are not those of the model's metadata")


def _names(said: Sequence[str], judged: Sequence[bool], names: Sequence[str]) -> bool:
    """Whether of every window that is judged a class of these is said."""
    return len(said) == len(judged) and all(name in names for name, is_ in zip(said, judged, strict=True) if is_)


def _is_judged(outcome: str, reason: str) -> bool:
    """Whether there is a judgement: also of a window out of domain, for a use case that marks these."""
    return outcome == Outcome.LABELLED or (outcome == Outcome.ABSTAINED and reason == Unlabelled.DISTANCE)


def _fits(outcome: str, reason: str) -> bool:
    """Whether this is a judgement, or says why there is none."""
    if not reason:
        return outcome == Outcome.LABELLED
    return reason in set(Unlabelled) and outcome in {Outcome.ABSTAINED, Outcome.FAILED}


def _floats(data: bytes, windows: int) -> NDArray[np.float32]:
    if len(data) % (4 * windows):
        raise _ServiceError("a reply's tensor is cut short")
    return np.frombuffer(data, "<f4").reshape(windows, -1)


def _texts(data: bytes) -> list[str]:
    """BYTES elements: each with its length before it, 4 bytes little-endian."""
    texts, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        texts.append(data[at + 4 : end].decode(errors="replace"))
        at = end
    return texts


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _ServiceError(f"the reply does not follow the protocol: {error}") from error


def _label(window: Window, model: _Model, reply: _Reply, at: int) -> Label:
    outcome, reason = reply.texts["outcome"][at], reply.texts["reason"][at]
    if not _is_judged(outcome, reason):
        return _unlabelled(window, model, Outcome(outcome), Unlabelled(reason))
    if not all(((rows[at] >= 0) & (rows[at] <= 1)).all() for rows in reply.scores.values()):  # NaN is neither
        return _unlabelled(window, model, Outcome.FAILED, Unlabelled.NOT_FINITE)
    names = model.parameters.classes
    return replace(
        _unlabelled(window, model, Outcome.LABELLED, Unlabelled(reason) if reason else None),
        heads={head: dict(zip(names[head], map(float, rows[at]), strict=True)) for head, rows in reply.scores.items()},
        classes={head: reply.texts[f"{head}.class"][at] for head in names},
    )


def _unlabelled(window: Window, model: _Model, outcome: Outcome, reason: Unlabelled | None) -> Label:
    return Label(
        window_id=window.id,
        call=window.call,
        use_case=window.use_case,
        role=window.role,
        start_ms=window.start_ms,
        end_ms=window.end_ms,
        consent_seq=window.consent_seq,
        spoken_at=window.spoken_at,
        outcome=outcome,
        bundle=model.parameters.bundle_sha256,
        reason=reason,
    )
