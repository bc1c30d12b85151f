from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.inference import MAX_BYTES, MAX_WINDOWS, _requests
from streams.domain.records import Role, Window


def window(rate: int, size: int) -> Window:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Window("w", "c", "demo", Role.CUSTOMER, 0, 1, 0, at, rate, bytes(size))


@given(
    st.lists(
        st.tuples(st.sampled_from([8000, 16_000]), st.sampled_from([2, MAX_BYTES // 3, MAX_BYTES + 2])), max_size=12
    )
    | st.lists(st.tuples(st.sampled_from([8000, 16_000]), st.just(2)), max_size=3 * MAX_WINDOWS)
)
def test_every_window_is_asked_for_once_with_others_of_its_rate_within_the_limits(sizes: list[tuple[int, int]]) -> None:
    windows = [window(rate, size) for rate, size in sizes]
    groups = list(_requests(windows))
    assert sorted(at for group in groups for at in group) == list(range(len(windows)))
    for group in groups:
        assert len({windows[at].rate for at in group}) == 1
        assert len(group) <= MAX_WINDOWS
        assert len(group) == 1 or sum(len(windows[at].data) for at in group) <= MAX_BYTES
