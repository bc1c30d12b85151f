"""Every feature by its name: what it is, what it needs, and what its licence forbids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.emotion.features.feature import Feature, FeatureError
from services.emotion.features.functionals import Functionals
from services.emotion.features.functionals2 import Functionals2, Functionals2Wide
from services.emotion.features.opensmile import LICENCE, OpenSmile
from services.emotion.features.prosody import Prosody
from services.emotion.features.sources import Model

WEIGHTS = "the weights have a licence of their own: read the model's card"


@dataclass(frozen=True, slots=True)
class Opening:
    """How a person wants a feature opened."""

    models: Sequence[Model]
    device: str
    language: str
    half: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a feature before it is opened."""

    what: str
    opened: Callable[[Opening], Feature]
    models: tuple[str, ...] = ()  #: what each model is that it needs: a folder or file, or a hub id with its commit
    extra: str = ""  #: of the package, without which it cannot be opened; "" where the package alone will do
    licence: str = ""  #: what a card has to say; "" where nothing stands in the way of commercial use


def _self_supervised(name: str) -> Callable[[Opening], Feature]:
    def opened(opening: Opening) -> Feature:
        from services.emotion.features.selfsupervised import SelfSupervised  # noqa: PLC0415 - needs the models extra

        return SelfSupervised(name, opening.models[0], opening.device, half=opening.half)

    return opened


def _linguistic(opening: Opening) -> Feature:
    from services.emotion.features.linguistic import Linguistic  # noqa: PLC0415 - needs the models extra

    whisper, bert = opening.models
    return Linguistic(whisper, bert, opening.device, opening.language)


def _xvector(opening: Opening) -> Feature:
    from services.emotion.features.xvector import XVector  # noqa: PLC0415 - ONNX Runtime is slow to import

    return XVector(opening.models[0], opening.device)


FEATURES = {
    Functionals.name: Entry("the project's own functionals, without weights", lambda _: Functionals()),
    Functionals2.name: Entry("their second kind, at 8 kHz, without weights", lambda _: Functionals2()),
    Functionals2Wide.name: Entry("their second kind, at 16 kHz, without weights", lambda _: Functionals2Wide()),
    "egemaps": Entry(
        "eGeMAPSv02, 88 functionals by openSMILE", lambda _: OpenSmile("egemaps"), extra="opensmile", licence=LICENCE
    ),
    "compare16": Entry(
        "ComParE 2016, 6,373 functionals by openSMILE",
        lambda _: OpenSmile("compare16"),
        extra="opensmile",
        licence=LICENCE,
    ),
    Prosody.name: Entry("DisVoice's 103 static prosody features", lambda _: Prosody()),
    "xvector": Entry(
        "a speaker embedding", _xvector, ("WeSpeaker's or VBx's ResNet as an ONNX file",), licence=WEIGHTS
    ),
    "wav2vec2": Entry(
        "wav2vec 2.0 XLS-R, every hidden layer",
        _self_supervised("wav2vec2"),
        ("a wav2vec 2.0 in transformers' format",),
        extra="models",
        licence=WEIGHTS,
    ),
    "wavlm": Entry(
        "WavLM, every hidden layer",
        _self_supervised("wavlm"),
        ("a WavLM in transformers' format",),
        extra="models",
        licence=WEIGHTS,
    ),
    "beto": Entry(
        "what was said: Whisper's transcript as BETO sees it, every hidden layer",
        _linguistic,
        ("a Whisper in transformers' format", "a BERT in transformers' format"),
        extra="models",
        licence=WEIGHTS,
    ),
}


def open_feature(
    name: str,
    model: Model | Sequence[Model] | None = None,
    device: str = "cpu",
    language: str = "",
    *,
    half: bool = False,
) -> Feature:
    """The feature of this name, with the models that its entry asks for, in that order. Raises FeatureError.

    `device` is torch's name of one. `language` is what is spoken, as Whisper calls it (es, de), or "" to let it listen.
    `half` computes encoders in bfloat16 on a processor too.
    """
    if name not in FEATURES:
        raise FeatureError(f"feature {name!r}: there is none of this name; choose one of {', '.join(FEATURES)}")
    entry = FEATURES[name]
    models = [model] if isinstance(model, Model) else list(model or ())
    if len(models) != len(entry.models):
        wanted = " and ".join(entry.models) or "no model"
        raise FeatureError(f"feature {name!r}: needs {wanted}, as folder, file or hub id; {len(models)} given")
    try:
        return entry.opened(Opening(models, device, language, half))
    except ModuleNotFoundError as error:
        terms = f" ({entry.licence})" if entry.licence else ""
        install = f"pip install 'undertone{f'[{entry.extra}]' * bool(entry.extra)}'"
        raise FeatureError(f"feature {name!r}: needs {error.name}: {install}{terms}") from error
