"""A rig on the run's broker, and how often a proof is repeated."""

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from integration.engine.rig import Rig, rig


@pytest.fixture
async def engine(kafka: str, tmp_path: Path) -> AsyncIterator[Rig]:
    with rig(kafka, tmp_path) as made:
        await made.create()
        yield made


@pytest.fixture(scope="session")
def rounds() -> int:
    """How often the random parts are repeated: a few times here, `UNDERTONE_ROUNDS` times in the long form."""
    return int(os.environ.get("UNDERTONE_ROUNDS", "1"))


@pytest.fixture
def chance() -> random.Random:
    """What is left to chance, the same again with the seed that a failing test shows."""
    seed = int(os.environ.get("UNDERTONE_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"UNDERTONE_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
    return random.Random(seed)  # noqa: S311 - a schedule, not a secret
