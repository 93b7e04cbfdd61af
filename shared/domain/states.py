"""The life cycle of an order, as one table.

Events have their names from this table, the outbox has a member for each transition, and the diagram in the docs is
generated from it. SQL and the conditions of DynamoDB are not: `tests/contract/test_states.py` compares what every store
does with the table, and `tests/unit/domain/test_states.py` finds states and events that are spelled out anywhere else.
"""

import enum
from typing import NamedTuple


class State(enum.StrEnum):
    """State of an order; the value is its name on the wire."""

    QUEUED = "en cola"
    RUNNING = "en proceso"
    DONE = "listo"
    FAILED = "fallido"
    CANCELLED = "cancelado"


class Transition(NamedTuple):
    """One permitted change of state, from `source` to `target`; `event` is what watchers and followers receive."""

    source: State | None
    target: State
    event: str
    cause: str


ACCEPT = Transition(None, State.QUEUED, "order.accepted", "accepted and committed")
START = Transition(State.QUEUED, State.RUNNING, "order.started", "a worker begins")
CANCEL = Transition(State.QUEUED, State.CANCELLED, "order.cancelled", "cancel")
FINISH = Transition(State.RUNNING, State.DONE, "order.finished", "the handler returns")
REQUEUE = Transition(State.RUNNING, State.QUEUED, "order.requeued", "a failed attempt, or its worker died")
FAIL = Transition(State.RUNNING, State.FAILED, "order.failed", "the last attempt failed")
RETRY = Transition(State.FAILED, State.QUEUED, "order.requeued", "retry")
DISCARD = Transition(State.FAILED, State.CANCELLED, "order.cancelled", "discard")

TRANSITIONS = (ACCEPT, START, CANCEL, FINISH, REQUEUE, FAIL, RETRY, DISCARD)

FINAL = frozenset({State.DONE, State.FAILED, State.CANCELLED})
"""States in which an order no longer counts as open."""


def shortest_path(source: State, target: State) -> tuple[Transition, ...]:
    """Returns the fewest transitions from one state to another; none where no transitions lead there."""
    paths: dict[State, tuple[Transition, ...]] = {source: ()}
    waiting = [source]
    for state in waiting:
        for step in TRANSITIONS:
            if step.source is state and step.target not in paths:
                paths[step.target] = (*paths[state], step)
                waiting.append(step.target)
    return paths.get(target, ())


def mermaid() -> str:
    """Returns the table as a Mermaid state diagram, for the docs."""
    names = {state: state.value.replace(" ", "_") for state in State}
    lines = ["stateDiagram-v2"]
    lines += [
        f"    {'[*]' if step.source is None else names[step.source]} --> {names[step.target]}: {step.cause}"
        for step in TRANSITIONS
    ]
    lines += [f"    {names[state]} --> [*]" for state in State if state in (State.DONE, State.CANCELLED)]
    return "\n".join(lines)
