"""Use cases: a contact centre's label scheme, rules and bundle, a YAML file each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from streams.domain import roles, rules, schemes
from streams.domain.records import Role
from streams.domain.roles import OneChannel
from streams.domain.rules import Rule
from streams.domain.schemes import Scheme
from streams.domain.scoring import Asked, OutOfDomain

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class UseCase:
    """How one contact centre is scored. `demo`: wiring only, never real customers."""

    name: str
    language: str  #: of the names of the classes and rules (BCP 47)
    scheme: Scheme
    bundle: str  #: name of the bundle that labels its windows
    rules: tuple[Rule, ...]
    demo: bool
    out_of_domain: OutOfDomain
    speaks_first: Role | None = None  #: on its calls
    swap_guard: bool = True  #: whether a call of two channels is not scored on which another speaks first
    one_channel: OneChannel | None = None  #: how who is who is told where both speak on one channel, if it is
    announcements: tuple[Path, ...] = ()  #: recordings that are played on its calls, and are nobody's speech
    review_by: date | None = None  #: the last day for people to look at it again (`streams.domain.reviews`)

    @property
    def asked(self) -> Asked:
        """What it asks of the labels of its windows."""
        return Asked(self.scheme, self.out_of_domain, rules.bounded(self.rules))


@dataclass(frozen=True, slots=True)
class _OneChannel:
    """Both parties on one channel are told apart; who speaks first is `speaks_first`."""

    after_ms: int = 0  #: an announcement's end


@dataclass(frozen=True, slots=True)
class _File:
    """A use case as its file says it: the scheme by the name of a built-in one, or spelt out."""

    name: str
    language: str
    scheme: str | Scheme
    bundle: str
    rules: tuple[Rule, ...]
    demo: bool = False
    out_of_domain: OutOfDomain = OutOfDomain.ABSTAIN
    speaks_first: Role | None = None
    swap_guard: bool = True
    one_channel: _OneChannel | None = None
    announcements: tuple[str, ...] = ()  #: files beside it
    review_by: date | None = None


class UseCaseError(ValueError):
    """A use case cannot be used. The message names the file, the place in it and the remedy."""


def load(folder: Path | None = None) -> dict[str, UseCase]:
    """Every use case of the folder by its name; the built-in `demo` alone where no folder is given."""
    source: Traversable = folder or resources.files("streams") / "builtin"
    try:
        files = sorted((file for file in source.iterdir() if file.name.endswith(".yaml")), key=str)
        found = [parse(file.read_text(encoding="utf-8"), file.name) for file in files]
    except (OSError, UnicodeDecodeError) as error:
        raise UseCaseError(f"{source}: cannot be read ({error}); give a folder of UTF-8 YAML files") from error
    if not found:
        raise UseCaseError(f"{source}: no use case in it; put a NAME.yaml there")
    beside = folder or Path()
    return {
        each.name: replace(each, announcements=tuple(beside / name for name in each.announcements)) for each in found
    }


def parse(text: str, file: str) -> UseCase:
    """Read one use case; `file` is its file's name, which must be the use case's name."""
    try:
        use_case = _checked(_read(text, _File))
    except ValueError as error:
        raise UseCaseError(f"{file}: {error}") from error
    if file != f"{use_case.name}.yaml":
        raise UseCaseError(f"{file}: name is {use_case.name!r}; call the file {use_case.name}.yaml")
    return use_case


def scheme_named(named: str) -> Scheme:
    """The built-in scheme of this name, else the one that a YAML file spells out, by itself or in a use case."""
    if named in schemes.BUILT_IN:
        return schemes.BUILT_IN[named]
    path = Path(named)
    if path.suffix not in {".yaml", ".yml"}:
        raise UseCaseError(f"{named}: no built-in scheme; name one of {', '.join(schemes.BUILT_IN)}, or a .yaml file")
    try:
        return _spelt_out(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UseCaseError(f"{path}: cannot be read ({error}); name a UTF-8 YAML file") from error
    except ValueError as error:
        raise UseCaseError(f"{path}: {error}") from error


def _spelt_out(text: str) -> Scheme:
    given = _yaml(text)
    if isinstance(given, Mapping) and "scheme" in given:
        return _checked(_read(text, _File)).scheme
    return _scheme(_read(text, Scheme))


def _yaml(text: str) -> object:
    try:
        given: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from error
    return given


def _read(text: str, wanted: type[_T]) -> _T:
    given = _yaml(text)
    try:
        kept = msgspec.convert(given, wanted)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}; correct it there") from error
    for problem in _unknown_keys(given, msgspec.to_builtins(kept), "$"):
        raise ValueError(problem)
    return kept


def _unknown_keys(given: object, kept: object, path: str) -> Iterator[str]:
    """What the conversion left out (msgspec passes over keys that a dataclass lacks)."""
    if isinstance(given, Mapping) and isinstance(kept, Mapping):
        for key, value in given.items():
            if key not in kept:
                yield f"unknown key {key!r} at `{path}`; remove it or use one of {', '.join(kept)}"
            yield from _unknown_keys(value, kept.get(key), f"{path}.{key}")
    elif isinstance(given, Sequence) and isinstance(kept, Sequence) and not isinstance(given, str):
        for number, (value, twin) in enumerate(zip(given, kept, strict=True)):
            yield from _unknown_keys(value, twin, f"{path}[{number}]")


def _checked(file: _File) -> UseCase:
    scheme = _scheme(file.scheme)
    names = [rule.name for rule in file.rules]
    for rule in file.rules:
        rules.check(rule, scheme.heads())
        if names.count(rule.name) > 1:
            raise ValueError(f"two rules are called {rule.name!r}; their ids would be the same, rename one")
    if file.speaks_first is Role.MIXED:
        raise ValueError("speaks_first is 'mixed'; name customer or agent, or leave it out")
    return UseCase(
        file.name,
        file.language,
        scheme,
        file.bundle,
        file.rules,
        file.demo,
        file.out_of_domain,
        file.speaks_first,
        file.swap_guard,
        _one_channel(file),
        tuple(map(Path, file.announcements)),
        file.review_by,
    )


def _one_channel(file: _File) -> OneChannel | None:
    if file.one_channel is None:
        return None
    if file.speaks_first is None:
        raise ValueError("one_channel: nothing says whose the first voice is; write speaks_first: agent, or customer")
    told = OneChannel(file.speaks_first, file.one_channel.after_ms)
    roles.check(told)
    return told


def _scheme(given: str | Scheme) -> Scheme:
    if isinstance(given, Scheme):
        schemes.check(given)
        return given
    if given not in schemes.BUILT_IN:
        known = ", ".join(schemes.BUILT_IN)
        raise ValueError(f"no built-in scheme {given!r}; name one of {known}, or spell it out")
    return schemes.BUILT_IN[given]
