"""What every process that sees audio or call ids does first: it leaves no core, and its end tells no secrets."""

import logging
import logging.config
import resource
import sys
import threading
from types import TracebackType

from streams.logs import LOGGING

#: For the kernel's core writer 1 means none at all; at 0 it would still hand one to a program such as systemd-coredump.
_NO_CORE = 1

log = logging.getLogger(__name__)


def discreet() -> None:
    """Log as `streams.logs` says, uncaught exceptions included; dump no core, which would hold audio."""
    no_cores()
    logging.config.dictConfig(LOGGING)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _log(args.exc_value)
    sys.unraisablehook = lambda args: _log(args.exc_value)


def no_cores() -> None:
    """Let neither this process nor those that it starts leave a core."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = 0 if hard == 0 else _NO_CORE  # 0 cannot be raised again
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:  # noqa: ARG001
    _log(error)


def _log(error: BaseException | None) -> None:
    log.critical("uncaught", exc_info=error)
