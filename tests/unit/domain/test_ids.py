"""Ids lead back to what they were made of, and sort by time."""

import itertools
import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import Run, new_node, parse_id, split_run

RUNS = st.builds(
    Run,
    received=st.integers(0, 2**48 * 1000 - 1),
    node=st.integers(0, 2**26 - 1),
    first=st.integers(1, 2**47),
    count=st.integers(1, 5),
)


@given(RUNS)
def test_id_is_a_version_7_uuid_and_leads_back(run: Run) -> None:
    for place, text in enumerate(run.ids()):
        assert uuid.UUID(text).version == 7
        assert uuid.UUID(text).variant == uuid.RFC_4122
        assert parse_id(text) == parse_id(text.upper()) == (run.received // 1000, run.node, run.first + place)


@given(RUNS, RUNS)
def test_ids_sort_by_time_of_receipt(one: Run, other: Run) -> None:
    first, second = next(one.ids()), next(other.ids())
    if one.received // 1000 != other.received // 1000:
        assert (first < second) == (one.received < other.received)


def test_what_is_no_id_has_no_parts() -> None:
    assert parse_id("nope") is None
    assert parse_id(str(uuid.uuid4())) is None


def test_stores_get_names_of_their_own() -> None:
    assert len({new_node() for _ in range(100)}) > 90


@given(st.sets(st.integers(10, 40)))
def test_split_run_holds_just_the_given_sequences(sequences: set[int]) -> None:
    parts = split_run(Run(5, 6, 10, 31), sorted(sequences))
    held = [sequence for part in parts for sequence in range(part.first, part.first + part.count)]
    assert held == sorted(sequences)
    assert all(left.first + left.count < right.first for left, right in itertools.pairwise(parts))
