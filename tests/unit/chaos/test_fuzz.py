"""The short form of the fuzzer; `make fuzz` runs the long one."""

import asyncio
import sys

import pytest

from ops.chaos.fuzz import fuzz

SEED = 2


def test_damaged_records_end_as_dead_letters_and_disturb_no_healthy_call(capsys: pytest.CaptureFixture[str]) -> None:
    told = asyncio.run(fuzz(20_000, SEED))
    with capsys.disabled():
        sys.stdout.write(f"\n{told}\n")
    assert told.reasons["malformed"]
    assert told.is_flat
