"""Logs as JSON lines on standard error: a constant message and its fields, and of an exception no foreign word.

A library's message may quote what it failed at: PostgreSQL's the row, a KeyError the call id, asyncio's the task with
its exception. So exceptions are told by type and place, and other loggers' arguments by type unless they are plain.
"""

import copy
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from traceback import walk_tb
from typing import Any

from pythonjsonlogger.json import JsonFormatter

_OURS = ("streams", "services")
_ROOT = Path(__file__).resolve().parents[1]


class Discreet(JsonFormatter):
    """Formats a log record without anything that it could have from a call."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        return super().format(record if _named_ours(record.name) else _plain(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - logging's own
        """Types and places, from the exception that was raised last to the first."""
        return "\n".join(_told(ei[1]))


def is_ours(kind: type) -> bool:
    """Whether this class is of the project: then its errors are worded so that anybody may read them."""
    return _named_ours(kind.__module__)


def _named_ours(module: str) -> bool:
    return module.partition(".")[0] in _OURS


def _plain(record: logging.LogRecord) -> logging.LogRecord:
    """The record of another logger: its constant text with what is plain of its arguments."""
    plain = copy.copy(record)
    if isinstance(record.args, Mapping):
        plain.args = {name: _argument(value) for name, value in record.args.items()}
    elif record.args:
        plain.args = tuple(map(_argument, record.args))
    else:  # asyncio formats by itself: a constant first line, then tasks and exceptions
        plain.msg = str(record.msg).partition("\n")[0]
    return plain


def _argument(value: object) -> object:
    return value if isinstance(value, str | int | float) else type(value).__name__


def _told(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        kind = type(error)
        yield f"{kind.__name__}: {error}" if is_ours(kind) else kind.__name__
        for frame, line in walk_tb(error.__traceback__):
            yield f"  {_place(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _place(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else "/".join(path.parts[-3:])


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "streams.logs.Discreet",
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
            "rename_fields": {"asctime": "at", "levelname": "level", "name": "logger"},
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    # Below INFO, aiokafka and Faust log keys and values of records.
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "aiokafka": {"level": "WARNING"},
        "faust": {"level": "WARNING"},
        "mode": {"level": "WARNING"},
        "opentelemetry": {"level": "ERROR"},  # else it tells each try to reach a collector that is away
    },
}
