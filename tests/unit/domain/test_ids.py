"""Ids lead back to what they were made of, and sort by time."""

import itertools
import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import OrderRange, new_node, new_uuid7, parse_id

RUNS = st.builds(
    OrderRange,
    received=st.integers(0, 2**48 * 1000 - 1),
    node=st.integers(0, 2**26 - 1),
    first=st.integers(1, 2**47),
    count=st.integers(1, 5),
)


@given(RUNS)
def test_id_is_a_version_7_uuid_and_leads_back(order_range: OrderRange) -> None:
    for place, text in enumerate(order_range.ids()):
        assert uuid.UUID(text).version == 7
        assert uuid.UUID(text).variant == uuid.RFC_4122
        assert (
            parse_id(text)
            == parse_id(text.upper())
            == (order_range.received // 1000, order_range.node, order_range.first + place)
        )


@given(RUNS, RUNS)
def test_ids_sort_by_time_of_receipt(one: OrderRange, other: OrderRange) -> None:
    first, second = next(one.ids()), next(other.ids())
    if one.received // 1000 != other.received // 1000:
        assert (first < second) == (one.received < other.received)


def test_what_is_no_id_has_no_parts() -> None:
    assert parse_id("nope") is None
    assert parse_id(str(uuid.uuid4())) is None


def test_stores_get_names_of_their_own() -> None:
    assert len({new_node() for _ in range(100)}) > 90


@given(st.sets(st.integers(10, 40)))
def test_select_holds_just_the_given_sequences(sequences: set[int]) -> None:
    parts = OrderRange(5, 6, 10, 31).select(sorted(sequences))
    held = [sequence for part in parts for sequence in part.sequences]
    assert held == sorted(sequences)
    assert all(left.stop < right.first for left, right in itertools.pairwise(parts))


def test_new_uuids_sort_by_their_time() -> None:
    made = [new_uuid7(time) for time in (0, 300, 999_999, 10**6, 1_764_000_000_000_000_000, (2**48 - 1) * 10**6)]
    assert made == sorted(made)
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in made} == {(7, uuid.RFC_4122)}
    assert new_uuid7(5) != new_uuid7(5)
