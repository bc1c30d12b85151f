"""Two voices are two points, and a piece of speech lies about 1 from its voice in each of 20 dimensions."""

from collections.abc import Sequence

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.onechannel import Mono
from streams.domain.pieces import PIECE_MS, Piece
from streams.domain.records import Role
from streams.domain.roles import Likeness, OneChannel, Who, known, who
from streams.domain.voices import REMEMBERED, Memory
from streams.speech import speakers

DIMENSIONS = 20
AGENT_FIRST = OneChannel(Role.AGENT)


def call(speakers_: str, apart: float, seed: int = 0) -> tuple[list[Piece], list[np.ndarray]]:
    """A piece a letter; a space is a pause."""
    rng, found, vectors, joined = np.random.default_rng(seed), list[Piece](), list[np.ndarray](), False
    places = {name: rng.normal(0, 1, DIMENSIONS) for name in "ABC"}
    centre = {name: place * apart / np.linalg.norm(place) for name, place in places.items()}
    for index, name in enumerate(speakers_):
        if name != " ":
            found.append(Piece(index * PIECE_MS, (index + 1) * PIECE_MS, joined))
            vectors.append((centre[name] + rng.normal(0, 1, DIMENSIONS)).astype(np.float32))
        joined = name != " "
    return found, vectors


def told(speakers_: str, apart: float, seed: int = 0) -> list[Likeness | None]:
    _, found = speakers.tell(Memory(), *call(speakers_, apart, seed))
    return found


def whose(speakers_: str, apart: float, seed: int = 0) -> list[Who]:
    return [who(likeness, (), AGENT_FIRST) for likeness in told(speakers_, apart, seed)]


TALK = "AAA BBB A BB AAA BB AA BBB AAA BB A BB "


def test_two_voices_are_told_apart_once_both_are_known_and_nobodys_before() -> None:
    found = whose(TALK * 2, apart=8)
    truth = [Who.AGENT if name == "A" else Who.CUSTOMER for name in (TALK * 2).replace(" ", "")]
    assert found[:6] == [Who.NOBODY] * 6
    assert sum(one is two for one, two in zip(found[12:], truth[12:], strict=True)) > 0.9 * len(truth[12:])


def test_an_announcement_is_not_remembered_nor_what_lies_before_it_without_a_pause() -> None:
    pieces, vectors = call(TALK, apart=8)
    plain, _ = speakers.tell(Memory(), pieces, vectors)
    prompt = [Piece(0, PIECE_MS, joined=False), Piece(PIECE_MS, 2 * PIECE_MS, joined=True, announced=True)]
    memory, found = speakers.tell(Memory(), prompt, vectors[3:5])
    assert found[1] is None
    assert memory == Memory()
    later, _ = speakers.tell(memory, pieces, vectors)
    assert later == plain


def test_like_voices_are_nobodys() -> None:
    assert set(whose(TALK * 3, apart=1.5)) == {Who.NOBODY}


def test_one_voice_by_itself_is_nobodys() -> None:
    assert set(whose("AAA AA A AAAA AA " * 6, apart=8)) == {Who.NOBODY}


def test_a_third_voice_on_the_call_is_not_the_customers() -> None:
    found = whose(TALK * 2 + "CCC CC CCC ", apart=8)
    assert Who.CUSTOMER not in found[-8:]


def test_nothing_before_an_announcements_end_is_remembered() -> None:
    pieces, vectors = call("CCCC CCC " + TALK, 8)
    memory, found = speakers.tell(Memory(), pieces, vectors, after_ms=9 * PIECE_MS)
    later, _ = speakers.tell(Memory(), pieces[7:], vectors[7:])
    assert found[:7] == [None] * 7
    assert memory == later


def test_what_is_remembered_of_eight_hours_is_as_long_as_what_is_remembered_of_minutes() -> None:
    sizes = []
    memory = Memory()
    for part in range(12):
        memory, _ = speakers.tell(memory, *call(TALK, 8, seed=0 if part % 2 else 1))
        memory = speakers.learn(memory)
        sizes.append(len(msgspec.msgpack.encode(memory)))
    assert len(memory.vectors) == REMEMBERED
    assert abs(sizes[-1] - sizes[-3]) < 100


def test_the_opening_is_never_forgotten() -> None:
    pieces, vectors = call(TALK * 8, 8)
    memory, _ = speakers.tell(Memory(), pieces, vectors)
    assert memory.vectors[0] == vectors[0].tobytes()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(0, 40), max_size=4))
def test_a_call_that_is_resumed_goes_on_as_it_would_have(seed: int, cuts: Sequence[int]) -> None:
    pieces, vectors = call(TALK * 2, 6, seed)
    whole = speakers.tell(Memory(), pieces, vectors)
    memory, found = Memory(), list[Likeness | None]()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(pieces)], strict=True):
        stored = msgspec.msgpack.encode(Mono(AGENT_FIRST, memory))
        memory = msgspec.msgpack.decode(stored, type=Mono).memory
        memory, more = speakers.tell(memory, pieces[start:end], vectors[start:end])
        found += more
    assert (memory, found) == whole


def test_voices_are_certain_only_where_it_is_certain_who_opens() -> None:
    likenesses = [each for each in told("AAA BB AA BBB AA BB AAA BB A BB ", apart=8) if each is not None]
    assert known(likenesses[-1])
    assert not known(likenesses[3])


def test_where_the_call_opens_with_a_word_of_each_nobody_is_the_customer() -> None:
    assert set(whose("A B A " + TALK * 2, apart=8)) == {Who.NOBODY}


def test_with_other_vectors_than_a_call_remembers_nothing_of_it_is_certain_any_more_and_nothing_is_learnt() -> None:
    pieces, vectors = call(TALK, apart=8)
    memory, _ = speakers.tell(Memory(), pieces, vectors, space="one")
    assert memory.voices is not None
    for other in (vectors, [vector[:7] for vector in vectors]):
        after, found = speakers.tell(memory, pieces, other, space="another")
        assert after == memory
        assert not any(each is None or known(each) for each in found)
