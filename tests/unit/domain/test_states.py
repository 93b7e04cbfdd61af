"""The table of states is whole, and the dashboard agrees with it."""

import json
import re
from itertools import pairwise
from pathlib import Path

from shared.domain.states import ACCEPT, FINAL, FINISH, START, TRANSITIONS, State, mermaid, shortest_path

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "services" / "gateway" / "static" / "admin"
EVENTS = list(dict.fromkeys(step.event for step in TRANSITIONS))
NAMES = [state.value for state in State]


def test_every_state_can_be_reached() -> None:
    assert {step.target for step in TRANSITIONS} == set(State)


def test_only_retry_and_discard_lead_out_of_a_final_state() -> None:
    assert [(step.source, step.target) for step in TRANSITIONS if step.source in FINAL] == [
        (State.FAILED, State.QUEUED),
        (State.FAILED, State.CANCELLED),
    ]


def test_picture_shows_every_transition() -> None:
    assert mermaid().count("-->") >= len(TRANSITIONS)


def test_shortest_path_is_made_of_transitions_that_follow_each_other() -> None:
    for source in State:
        for target in State:
            path = shortest_path(source, target)
            assert all(one.target is other.source for one, other in pairwise(path))
            if path:
                assert (path[0].source, path[-1].target) == (source, target)
    assert [step.event for step in shortest_path(State.FAILED, State.DONE)] == [
        "order.requeued",
        "order.started",
        "order.finished",
    ]
    assert [step.event for step in shortest_path(State.RUNNING, State.CANCELLED)] == [
        "order.requeued",
        "order.cancelled",
    ]
    assert shortest_path(State.DONE, State.FAILED) == ()


def array(module: str, name: str) -> list[str]:
    """Returns the strings of a constant array of the dashboard."""
    match = re.search(rf"\bconst {name} = (\[[^\]]*\])", (PAGES / module).read_text())
    assert match is not None
    return list(json.loads(match[1]))


def test_dashboard_knows_the_states_and_events_of_the_table() -> None:
    assert array("board.js", "STATES") == NAMES
    assert array("following.js", "FINAL") == [state.value for state in State if state in FINAL]
    assert array("following.js", "STEPS") == [step.target.value for step in (ACCEPT, START, FINISH)]
    assert sorted(f"order.{name}" for name in array("events.js", "ORDERS")) == sorted(EVENTS)
    icons = re.search(r"\bSTATE_ICONS = \{(.*?)\}", (PAGES / "parts.js").read_text())
    assert icons is not None
    assert [key.strip('" ') for key in re.findall(r'([\w" ]+): "', icons[1])] == NAMES
    assert set(NAMES) <= set(re.findall(r'"state\.([a-z ]+)":', (PAGES / "texts" / "es.js").read_text()))
    assert set(re.findall(r'"(order\.[a-z]+)"', (PAGES / "events.js").read_text())) <= set(EVENTS)
