"""Keeps programs running: one that exits or stops making progress is started again, and counted."""

import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from services.standalone.processes import Program, kill, last_lines, start
from services.standalone.restarts import Action, Run, Seen, step


@dataclass(frozen=True, slots=True)
class Incident:
    """Why a program will be started again, with the end of its log."""

    program: str
    reason: str
    log: tuple[str, ...]


@dataclass(slots=True)
class _Kept:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    run: Run = field(default_factory=Run)
    killed: bool = False


class Supervisor:
    """Programs under watch. Call `look` a few times a second, always from the thread that made it.

    Linux ends a program with the thread that started it (see `processes`).
    """

    def __init__(self, told: Callable[[Incident], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._told, self._clock = told, clock
        self._kept: dict[str, _Kept] = {}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each program was started again."""
        return {name: kept.run.restarts for name, kept in self._kept.items()}

    def process(self, name: str) -> subprocess.Popen[bytes] | None:
        """The program's process; None between two runs."""
        return self._kept[name].process

    def add(self, program: Program) -> None:
        """Start the program and watch it from now on."""
        self._kept[program.name] = kept = _Kept(program)
        self._look_at(kept)

    def look(self) -> None:
        """See how every program fares; kill and start what needs it."""
        for kept in self._kept.values():
            self._look_at(kept)

    def stop(self, names: Collection[str] | None = None, *, grace_s: float = 15) -> None:
        """Stop these programs (all of them where none are named), all at once, and watch them no longer."""
        leaving = [self._kept.pop(name) for name in list(self._kept) if names is None or name in names]
        running = [(kept.program, kept.process) for kept in leaving if kept.process is not None]
        for program, process in running:
            if process.poll() is None:
                process.send_signal(program.stop_signal)
        deadline = time.monotonic() + grace_s
        for _, process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            kill(process)

    def _look_at(self, kept: _Kept) -> None:
        was_running = kept.run.started_at is not None
        kept.run, action = step(kept.run, self._seen(kept))
        if action is Action.START:
            _start(kept)
        elif action is Action.KILL and kept.process is not None:
            kept.killed = True
            kill(kept.process)
            self._look_at(kept)
        elif was_running and kept.run.started_at is None:
            self._told(_incident(kept))
            kept.process = None

    def _seen(self, kept: _Kept) -> Seen:
        running = kept.process is not None and kept.process.poll() is None
        file = kept.program.liveness
        touched_s = None
        if file is not None:
            with suppress(FileNotFoundError):
                touched_s = time.time() - file.stat().st_mtime
        return Seen(self._clock(), running, judged=file is not None, touched_s=touched_s)


def _start(kept: _Kept) -> None:
    if kept.program.liveness is not None:
        kept.program.liveness.unlink(missing_ok=True)
    kept.killed = False
    kept.process = start(kept.program)


def _incident(kept: _Kept) -> Incident:
    code = kept.process.returncode if kept.process is not None else None
    reason = "made no progress and was killed" if kept.killed else f"exited with status {code}"
    return Incident(kept.program.name, reason, tuple(last_lines(kept.program.log)))
