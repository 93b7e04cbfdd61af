"""The numbers of states in SQL, and the members of the outbox, agree with the table of states."""

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from shared.domain.states import ACCEPT, CANCEL, DISCARD, FAIL, FINAL, FINISH, REQUEUE, RETRY, START, TRANSITIONS, State
from shared.stores import sqlite
from shared.stores.orders import CANCELLED, DONE, FAILED, QUEUED, RUNNING, STATES
from shared.stores.outbox import TRANSITIONS_BY_MEMBER, OutboxEntry, decode_entry, encode_entry

SCHEMA = Path(str(sqlite.__file__)).with_name("schema")
SOURCE = re.compile(r"(?:WHERE|AND) state = (\d)")


def statements() -> Iterator[str]:
    """Yields the statements that change the state of orders."""
    for module in pkgutil.iter_modules(sqlite.__path__):
        for name, value in vars(importlib.import_module(f"shared.stores.sqlite.{module.name}")).items():
            if name.startswith("_") and isinstance(value, str) and re.search(r"SET state = \d", value):
                yield value


def test_numbers_of_states_stay() -> None:
    assert (QUEUED, RUNNING, DONE, FAILED, CANCELLED) == (0, 1, 2, 3, 4)
    assert STATES == (State.QUEUED, State.RUNNING, State.DONE, State.FAILED, State.CANCELLED)
    assert {state for number, state in enumerate(STATES) if number >= DONE} == FINAL


def test_every_statement_makes_a_transition_of_the_table() -> None:
    made = Counter[tuple[State, State]]()
    for statement in statements():
        _, _, condition = statement.partition("SET state = ")
        sources = SOURCE.findall(condition)
        assert len(sources) == 1, f"it changes orders in any state: {statement}"
        made[STATES[int(sources[0])], STATES[int(condition[0])]] += 1
    known = {(step.source, step.target) for step in (START, CANCEL, FINISH, REQUEUE, FAIL, RETRY, DISCARD)}
    assert set(made) == known


def test_schema_names_states_by_their_numbers() -> None:
    first = (SCHEMA / "progress-1.sql").read_text()
    totals = re.search(r"INTO totals \(state, orders\) VALUES (.*);", first)
    assert totals is not None
    assert {STATES[int(number)] for number in re.findall(r"\((\d), 0\)", totals[1])} == FINAL
    assert f"progress (state, sequence) WHERE state >= {FAILED};" in first
    second = (SCHEMA / "progress-2.sql").read_text()
    for number, members in ((RUNNING, {"started"}), (DONE, {"started", "done"}), (FAILED, {"started", "failed"})):
        branch = re.search(rf"WHEN {number} THEN (.*?)\n        (?:WHEN|ELSE)", second, re.DOTALL)
        assert branch is not None
        assert {name for name in TRANSITIONS_BY_MEMBER if f"'{name}'" in branch[1]} == members


def test_outbox_has_a_member_for_each_transition_in_the_order_of_a_transaction() -> None:
    assert tuple(TRANSITIONS_BY_MEMBER) == OutboxEntry.__struct_fields__
    assert {ACCEPT, *TRANSITIONS_BY_MEMBER.values()} == set(TRANSITIONS)


def test_entries_are_stored_as_before() -> None:
    text = (
        '{"done":[[1,2]],"failed":[[3,1,"no"]],"requeued":[[4,1,null]],"reopened":[[5,1]],"cancelled":[[6,1]],'
        '"discarded":[[7,1]],"started":[[8,3]]}'
    )
    assert encode_entry(decode_entry(text)).decode() == text
    assert encode_entry(OutboxEntry(started=[(1, 1)])) == b'{"started":[[1,1]]}'
