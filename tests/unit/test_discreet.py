"""A process that fails says where and of what kind, never the words of a library: those quote rows and records."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streams.logs import Discreet
from streams.store.database import StoreError

CANARY = "+49 30 901820 Erika"


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def handled(stream: io.StringIO) -> Iterator[logging.Handler]:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Discreet("{levelname} {name} {message}", style="{"))
    yield handler
    handler.close()


def logger(name: str, handler: logging.Handler) -> logging.Logger:
    log = logging.Logger(name)  # noqa: LOG001 - one that no other test sees
    log.addHandler(handler)
    return log


def test_a_librarys_exception_is_told_by_type_and_place(handled: logging.Handler, stream: io.StringIO) -> None:
    try:
        int(CANARY)
    except ValueError as error:
        error.__cause__ = KeyError(CANARY)
        logger("streams.kafka.feed", handled).critical("fail-stop", extra={"what": "handler"}, exc_info=error)
    said = json.loads(stream.getvalue())
    assert CANARY not in stream.getvalue()
    assert (said["message"], said["what"]) == ("fail-stop", "handler")
    for part in ("ValueError", "KeyError", "test_discreet.py", "test_a_librarys_exception"):
        assert part in said["exc_info"]


def test_our_own_errors_keep_their_words(handled: logging.Handler, stream: io.StringIO) -> None:
    error = StoreError("PostgreSQL refused a statement: UniqueViolation 23505 labels")
    logger("streams.kafka.feed", handled).critical("fail-stop", exc_info=error)
    assert "StoreError: PostgreSQL refused a statement: UniqueViolation 23505 labels" in stream.getvalue()


class Record:
    def __repr__(self) -> str:
        return CANARY


@pytest.mark.parametrize(
    ("name", "message", "arguments"),
    [
        ("mode.services", "Crashed reason=%r", (ValueError(CANARY),)),
        ("aiokafka.consumer", "Unexpected record %s", (Record(),)),
        ("aiokafka.consumer", "Bytes %s", (CANARY.encode(),)),
        ("mode.worker", "Got %(reason)r", ({"reason": Record()},)),
        ("asyncio", f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{CANARY}')>", ()),
    ],
)
def test_what_other_loggers_quote_is_told_by_type(
    handled: logging.Handler, stream: io.StringIO, name: str, message: str, arguments: tuple[object, ...]
) -> None:
    logger(name, handled).error(message, *arguments)
    assert json.loads(stream.getvalue())["message"]
    assert CANARY not in stream.getvalue()


def test_hosts_and_numbers_of_other_loggers_stay(handled: logging.Handler, stream: io.StringIO) -> None:
    logger("aiokafka.conn", handled).error("Unable to connect to %s:%d", "broker-1", 9092)
    assert json.loads(stream.getvalue())["message"] == "Unable to connect to broker-1:9092"


def process(program: str) -> subprocess.CompletedProcess[str]:
    lines = f"from streams.discreet import discreet\ndiscreet()\n{program}"
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)


FAILS = f"def fails(): raise ValueError({CANARY!r})\n"
TASK = """
import asyncio
async def task(): fails()
async def main():
    asyncio.create_task(task())
    await asyncio.sleep(0.01)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    "program",
    [
        "fails()",
        "import threading\nthreading.Thread(target=fails).start()",
        "class Odd:\n    def __del__(self): fails()\nOdd()",
        TASK,
    ],
    ids=["main", "thread", "finalizer", "task"],
)
def test_what_nobody_catches_is_told_by_type_and_place(program: str) -> None:
    ended = process(FAILS + program)
    assert "ValueError" in ended.stderr
    assert CANARY not in ended.stdout + ended.stderr


def test_no_core_is_dumped_into_a_file_or_a_pipe() -> None:
    ended = process("import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))")
    # 0 would still be dumped where the kernel hands cores to a program; at 1 it hands out none, and no file has 1 byte.
    assert ended.stdout.strip() == "(1, 1)"


def test_a_process_that_is_aborted_leaves_no_core(tmp_path: object) -> None:
    lines = "import os, resource\nfrom streams.discreet import discreet\ndiscreet()\nos.abort()"
    command = f"ulimit -c unlimited 2>/dev/null; cd {tmp_path}; exec {sys.executable} -c '{lines}'"
    ended = subprocess.run(["bash", "-c", command], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGABRT
    assert os.listdir(str(tmp_path)) == []  # noqa: PTH208 - a fixture's folder
