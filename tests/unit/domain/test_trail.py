"""Whatever is done to a stored trail, walking it shows: with the kept head, without exception."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streams.domain.trail import CHAINED, GENESIS, Breach, BrokenTrailError, Entry, Head, check, digest

AT = datetime(2026, 11, 3, 12, tzinfo=UTC)
CALLS = st.none() | st.sampled_from(["ab" * 32, "cd" * 32])


def chained(fields: list[tuple[int, str, str, str | None, str]]) -> list[Entry]:
    """What PostgreSQL makes of these rows: gap before, action, actor, call, detail."""
    entries: list[Entry] = []
    previous, id_ = GENESIS, 0
    for number, (gap, action, actor, call, detail) in enumerate(fields):
        id_ += gap
        at = AT + timedelta(microseconds=number * 37)
        entry = Entry(id_, at, action, actor, call, detail, previous, None)
        previous = digest(entry, previous)
        entries.append(replace(entry, hash=previous))
    return entries


ROWS = st.tuples(
    st.integers(1, 3),
    st.sampled_from(["call.erased", "call.looked_up"]),
    st.sampled_from(["erase", "pseudonym"]),
    CALLS,
    st.sampled_from(["{}", '{"known": 1}', '{"known": 2}']),
)
TRAILS = st.lists(ROWS, min_size=1, max_size=8).map(chained)


def head(entries: list[Entry]) -> Head:
    return Head(entries[-1].id, str(entries[-1].hash))


@given(TRAILS)
def test_a_trail_as_it_was_written_is_good_and_gives_its_head(entries: list[Entry]) -> None:
    walk = check(entries, head(entries))
    assert (walk.head, walk.chained, walk.uncovered) == (head(entries), len(entries), 0)


@given(TRAILS, st.data())
def test_a_head_that_was_kept_early_is_met_on_the_way(entries: list[Entry], data: st.DataObject) -> None:
    early = data.draw(st.integers(1, len(entries)))
    assert check(entries, head(entries[:early])).head == head(entries)


@given(TRAILS, st.data())
def test_an_edit_of_any_field_of_any_row_is_found_at_that_row(entries: list[Entry], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(entries) - 1))
    edits = {
        "id": entries[-1].id + 1 if at == len(entries) - 1 else entries[at].id,
        "at": entries[at].at + timedelta(microseconds=1),
        "action": "call.withdrawn",
        "actor": "segment",
        "call": None if entries[at].call else "ef" * 32,
        "detail": '{"known": 3}',
        "previous": "1" * 64,
        "hash": "2" * 64,
    }
    field = data.draw(st.sampled_from(sorted(edits)))
    edited = replace(entries[at], **{field: edits[field]})
    assume(edited != entries[at])
    with pytest.raises(BrokenTrailError) as broken:
        check([*entries[:at], edited, *entries[at + 1 :]])
    assert (broken.value.id, broken.value.breach) == (edited.id, Breach.EDITED)


@given(TRAILS, st.data())
def test_an_edit_whose_hash_was_made_anew_is_found_at_the_next_row(entries: list[Entry], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(entries) - 1))
    forged = replace(entries[at], actor="segment")
    forged = replace(forged, hash=digest(forged, str(forged.previous)))
    kept = head(entries)
    with pytest.raises(BrokenTrailError) as broken:
        check([*entries[:at], forged, *entries[at + 1 :]], kept)
    last = at == len(entries) - 1
    assert broken.value.id == (kept.id if last else entries[at + 1].id)
    assert broken.value.breach is (Breach.CUT if last else Breach.DETACHED)


@given(TRAILS, st.data())
def test_a_deletion_anywhere_is_found_with_the_head_that_was_kept(entries: list[Entry], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(entries) - 1))
    after = data.draw(st.integers(first + 1, len(entries)))
    with pytest.raises(BrokenTrailError) as broken:
        check([*entries[:first], *entries[after:]], head(entries))
    assert broken.value.breach is (Breach.CUT if after == len(entries) else Breach.DETACHED)


@given(TRAILS, st.randoms(use_true_random=False))
def test_rows_in_another_order_are_found(entries: list[Entry], random: object) -> None:
    ids = [entry.id for entry in entries]
    moved = list(entries)
    random.shuffle(moved)  # type: ignore[attr-defined]
    assume(moved != entries)
    with pytest.raises(BrokenTrailError):
        check(moved)
    with pytest.raises(BrokenTrailError):
        check([replace(entry, id=id_) for entry, id_ in zip(moved, ids, strict=True)])


@given(TRAILS, st.data())
def test_a_row_put_in_is_found_with_a_hash_and_without(entries: list[Entry], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(entries) - 1))
    before, after = entries[: at + 1], entries[at + 1 :]
    row = replace(entries[at], id=entries[at].id + 1, previous=entries[at].hash, detail='{"known": 9}')
    hashed = replace(row, hash=digest(row, str(row.previous)))
    with pytest.raises(BrokenTrailError):
        check([*before, hashed, *after], head(entries) if after else Head(hashed.id, "0" * 64))
    with pytest.raises(BrokenTrailError) as broken:
        check([*before, replace(row, hash=None, previous=None), *after])
    assert broken.value.breach is Breach.UNCHAINED


@given(TRAILS)
def test_a_trail_written_anew_is_told_from_the_one_whose_head_was_kept(entries: list[Entry]) -> None:
    anew = chained([(1, "call.looked_up", "segment", None, "{}")] * len(entries))
    with pytest.raises(BrokenTrailError) as broken:
        check(anew, head(entries))
    assert broken.value.breach is Breach.CUT


def test_an_empty_trail_is_good_until_a_head_of_it_is_known() -> None:
    assert check([]).head is None
    with pytest.raises(BrokenTrailError):
        check([], Head(1, "a" * 64))


@given(TRAILS, st.data())
def test_of_several_heads_that_were_kept_each_must_be_met(entries: list[Entry], data: st.DataObject) -> None:
    early = head(entries[: data.draw(st.integers(1, len(entries)))])
    assert check(entries, early, head(entries)).head == head(entries)
    for foreign in (Head(early.id, "a" * 64), Head(entries[-1].id + 1, "a" * 64)):
        with pytest.raises(BrokenTrailError) as broken:
            check(entries, early, foreign)
        assert (broken.value.id, broken.value.breach) == (foreign.id, Breach.CUT)


def bare(entries: list[Entry]) -> list[Entry]:
    return [replace(entry, previous=None, hash=None) for entry in entries]


@given(TRAILS, TRAILS)
def test_rows_from_before_the_chain_are_counted_where_a_row_of_it_says_so(old: list[Entry], new: list[Entry]) -> None:
    before = [replace(entry, id=entry.id - 1000) for entry in bare(old)]
    told = chained([(1, CHAINED, "migration", None, "{}"), (1, "call.erased", "erase", None, "{}")])
    assert check([*before, *told]).uncovered == len(old)
    with pytest.raises(BrokenTrailError) as broken:
        check([*before, *new])
    assert (broken.value.id, broken.value.breach) == (before[0].id, Breach.STRIPPED)


@given(TRAILS, st.booleans())
def test_a_trail_whose_every_hash_was_deleted_is_found_also_where_it_goes_on(
    entries: list[Entry], says_so: bool
) -> None:
    """PostgreSQL begins the chain anew where no row has a hash."""
    told = chained([(1, CHAINED, "migration", None, "{}")]) if says_so else []
    stripped = bare([*told, *(replace(entry, id=entry.id + 1) for entry in entries)])
    anew = chained([(1000, "call.erased", "erase", None, "{}")])
    for trail in (stripped, [*stripped, *anew]):
        with pytest.raises(BrokenTrailError) as broken:
            check(trail)
        assert (broken.value.id, broken.value.breach) == (stripped[0].id, Breach.STRIPPED)
