"""A study on disk: a folder for the listener, one for the reader, and what neither of them may see."""

from collections.abc import Sequence
from pathlib import Path

from services.plot import picture
from services.timeline import Timeline, evolved
from services.training.corpora.tables import new_folder, write_table
from services.training.study import automatic, write_form
from services.training.study_forms import Call, listener_form, reader_form
from streams.domain.records import Role
from streams.usecases import UseCase

_SIDES = ("left", "right")


def write_study(out: Path, heard: Sequence[Timeline], case: UseCase) -> None:
    """Write the study of these calls, in this order, into a new folder; it is there as a whole or not at all."""
    with new_folder(out) as folder:
        _write(folder, heard, case)


def _write(folder: Path, heard: Sequence[Timeline], case: UseCase) -> None:
    """Both forms, the key and the program's own answers."""
    heads = tuple(case.scheme.heads())
    calls = [_call(number, len(heard), found, heads) for number, found in enumerate(heard, 1)]
    paths = [found.recording.path.resolve() for found in heard]
    audio = [f"{call.name}{path.suffix}" for call, path in zip(calls, paths, strict=True)]
    pages = {"listener": listener_form(calls, audio, _customer(heard[0])), "reader": reader_form(calls, heads)}
    for name, page in pages.items():
        (folder / name).mkdir()
        (folder / name / "form.html").write_text(page, encoding="utf-8")
        write_form(folder / name / "form.csv", {call.name: {} for call in calls})
    for file, path in zip(audio, paths, strict=True):
        (folder / "listener" / file).symlink_to(path)
    evolutions = [evolved(found, case) for found in heard]
    answers = {call.name: automatic(found) for call, found in zip(calls, evolutions, strict=True) if found}
    write_form(folder / "automatic.csv", answers)
    key = [{"call": call.name, "recording": path} for call, path in zip(calls, paths, strict=True)]
    write_table(folder / "key.csv", ("call", "recording"), key)
    (folder / "key.csv").chmod(0o600)


def _call(number: int, of: int, found: Timeline, heads: Sequence[str]) -> Call:
    name = f"call-{number:0{max(2, len(str(of)))}}"
    return Call(name, found.recording.duration_ms, found.labels, picture(found, heads, name))


def _customer(found: Timeline) -> str:
    """Where the customer is to be heard."""
    if len(found.roles) == 1:
        return "the only voice on the recording"
    return f"the {_SIDES[found.roles.index(Role.CUSTOMER)]} channel"
