"""The sealing of call states: what goes in comes out, for the same call alone."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.privacy import Epoch
from streams.store.sealing import SealError, seal, unseal

START = datetime(2026, 11, 1, tzinfo=UTC)
EPOCH = Epoch("2026-11", b"k" * 32, START)
OTHER = Epoch("2026-12", b"o" * 32, START)
CALL = "ab" * 32

ids = st.text(alphabet="abcXYZ019._-", min_size=1, max_size=64)


@given(state=st.binary(max_size=500), key=st.binary(min_size=32, max_size=64), id_=ids, call=st.text(max_size=64))
def test_what_is_sealed_is_unsealed(state: bytes, key: bytes, id_: str, call: str) -> None:
    epoch = Epoch(id_, key, START)

    assert unseal([OTHER, epoch], call, seal(epoch, call, state)) == state


@given(state=st.binary(min_size=1, max_size=100), data=st.data())
def test_a_changed_byte_anywhere_is_refused(state: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(EPOCH, CALL, state))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(SealError):
        unseal([EPOCH], CALL, bytes(sealed))


@given(sealed=st.binary(max_size=200))
def test_what_was_never_sealed_is_refused(sealed: bytes) -> None:
    with pytest.raises(SealError):
        unseal([EPOCH], CALL, sealed)


@given(length=st.integers(0, 60))
def test_a_state_cut_short_is_refused(length: int) -> None:
    with pytest.raises(SealError):
        unseal([EPOCH], CALL, seal(EPOCH, CALL, b"state" * 10)[:length])


def test_a_state_opens_for_its_own_call_alone() -> None:
    with pytest.raises(SealError, match="another call"):
        unseal([EPOCH], "cd" * 32, seal(EPOCH, CALL, b"state"))


def test_a_state_whose_epoch_was_destroyed_stays_shut() -> None:
    with pytest.raises(SealError, match="epoch"):
        unseal([OTHER], CALL, seal(EPOCH, CALL, b"state"))


def test_an_epoch_of_the_same_id_and_another_key_opens_nothing() -> None:
    with pytest.raises(SealError):
        unseal([Epoch(EPOCH.id, OTHER.key, START)], CALL, seal(EPOCH, CALL, b"state"))


def test_the_same_state_is_never_sealed_the_same_way() -> None:
    assert len({seal(EPOCH, CALL, b"state") for _ in range(50)}) == 50
