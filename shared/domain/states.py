"""The life of an order, as one table.

Everything that moves an order reads this table; the picture in the docs is drawn from it.
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
    """One permitted change of state: from `source` to `target`, told to watchers as `event`."""

    source: State | None
    target: State
    event: str
    cause: str


TRANSITIONS = (
    Transition(None, State.QUEUED, "order.accepted", "accepted and committed"),
    Transition(State.QUEUED, State.RUNNING, "order.started", "a worker begins"),
    Transition(State.QUEUED, State.CANCELLED, "order.cancelled", "cancel"),
    Transition(State.RUNNING, State.DONE, "order.finished", "the handler returns"),
    Transition(State.RUNNING, State.QUEUED, "order.requeued", "a failed attempt, or its worker died"),
    Transition(State.RUNNING, State.FAILED, "order.failed", "the last attempt failed"),
    Transition(State.FAILED, State.QUEUED, "order.requeued", "retry"),
    Transition(State.FAILED, State.CANCELLED, "order.cancelled", "discard"),
)

FINAL = frozenset({State.DONE, State.FAILED, State.CANCELLED})
"""States in which an order no longer counts as open."""


def mermaid() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    names = {state: state.value.replace(" ", "_") for state in State}
    lines = ["stateDiagram-v2"]
    lines += [
        f"    {'[*]' if step.source is None else names[step.source]} --> {names[step.target]}: {step.cause}"
        for step in TRANSITIONS
    ]
    lines += [f"    {names[state]} --> [*]" for state in State if state in (State.DONE, State.CANCELLED)]
    return "\n".join(lines)
