from dataclasses import replace

import pytest

from streams.domain import roles
from streams.domain.records import Role
from streams.domain.roles import CERTAIN, Likeness, OneChannel, Who, who

AGENT_FIRST = OneChannel(Role.AGENT)
CUSTOMERS = Likeness(first=-9, place=-1, distance=1, separation=60, opening=1, pieces=9)
AGENTS = replace(CUSTOMERS, first=9, place=1)


def test_the_voice_that_did_not_speak_first_is_the_customers_where_the_agent_answers() -> None:
    assert who(CUSTOMERS, (), AGENT_FIRST) is Who.CUSTOMER
    assert who(AGENTS, (), AGENT_FIRST) is Who.AGENT


def test_the_voice_that_speaks_first_is_the_customers_where_the_use_case_says_so() -> None:
    assert who(AGENTS, (), OneChannel(Role.CUSTOMER)) is Who.CUSTOMER
    assert who(CUSTOMERS, (), OneChannel(Role.CUSTOMER)) is Who.AGENT


@pytest.mark.parametrize(
    "doubt",
    [
        {"separation": CERTAIN.separation - 1},
        {"opening": CERTAIN.opening - 0.1},
        {"pieces": CERTAIN.pieces - 1},
        {"distance": CERTAIN.distance + 1},
        {"first": -CERTAIN.margin + 1},
        {"place": -CERTAIN.place + 0.1},
    ],
    ids=[
        "voices too alike",
        "who spoke first is uncertain",
        "too little heard",
        "a third voice",
        "too little evidence",
        "between the voices",
    ],
)
def test_what_is_not_certain_is_nobodys(doubt: dict[str, float]) -> None:
    assert who(replace(CUSTOMERS, **doubt), (), AGENT_FIRST) is Who.NOBODY


def test_a_piece_without_a_pause_between_it_and_the_agents_is_nobodys() -> None:
    assert who(CUSTOMERS, (AGENTS,), AGENT_FIRST) is Who.NOBODY
    assert who(CUSTOMERS, (CUSTOMERS, CUSTOMERS, None), AGENT_FIRST) is Who.CUSTOMER


def test_speech_that_is_too_short_to_tell_is_nobodys() -> None:
    assert who(None, (CUSTOMERS,), AGENT_FIRST) is Who.NOBODY


def test_an_announcement_that_ends_before_the_call_is_refused() -> None:
    with pytest.raises(ValueError, match="after_ms: -1"):
        roles.check(OneChannel(Role.AGENT, -1))


@pytest.mark.parametrize("channels", [(Role.AGENT, Role.CUSTOMER), (Role.MIXED, Role.MIXED), (Role.CUSTOMER,)])
def test_nobody_is_told_apart_but_on_a_mixed_channel_by_itself(channels: tuple[Role, ...]) -> None:
    assert roles.told_apart(channels, AGENT_FIRST) is None
    assert roles.told_apart((Role.MIXED,), AGENT_FIRST) is AGENT_FIRST
    assert roles.told_apart((Role.MIXED,), None) is None
