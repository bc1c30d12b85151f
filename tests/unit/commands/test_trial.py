from collections.abc import Iterator

import pytest

from services.commands.trial import Counts, passed, settled, told
from streams.domain.records import Outcome


def looking(*found: Counts) -> Iterator[Counts]:
    yield from found
    raise AssertionError("asked once too often")


@pytest.mark.parametrize(
    ("found", "good"),
    [
        ({}, False),
        ({Outcome.LABELLED: 3}, True),
        ({Outcome.ABSTAINED: 3}, True),
        ({Outcome.LABELLED: 3, Outcome.FAILED: 1}, False),
    ],
)
def test_a_trial_passes_by_labels_of_which_none_has_failed(found: Counts, good: bool) -> None:
    assert passed(found) is good


def test_what_became_of_the_call_is_told() -> None:
    assert told({Outcome.LABELLED: 3, Outcome.ABSTAINED: 1}) == "Labels: 1 abstained, 3 labelled"
    assert told({}) == "No label came: `undertone status` says which stage is behind."


async def test_labels_are_waited_for_until_no_more_come() -> None:
    found = looking({}, {Outcome.LABELLED: 1}, {Outcome.LABELLED: 2}, {Outcome.LABELLED: 2})

    async def look() -> Counts:
        return next(found)

    assert await settled(look, 60, look_s=0) == {Outcome.LABELLED: 2}


async def test_the_wait_ends_with_what_there_is() -> None:
    async def look() -> Counts:
        return {}

    assert await settled(look, 0.01, look_s=0.001) == {}
