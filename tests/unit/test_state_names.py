"""The code spells out states and events of orders in their table alone, and in texts for people."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from shared.domain.states import TRANSITIONS, State

ROOT = Path(__file__).parents[2]
EVENTS = list(dict.fromkeys(step.event for step in TRANSITIONS))
NAMES = [state.value for state in State]
SPELLED_OUT = re.compile(r"\border\.[a-z]+\b|\b(?:" + "|".join(name.replace(" ", "[ _]") for name in NAMES) + r")\b")

TEXTS = {
    "clients/cli": {name: 1 + (name == "listo") for name in NAMES},
    "clients/tools/loadtest": {"listo": 2},
    "services/distributed": {"order.failed": 1},
    "services/gateway/api": {"fallido": 1},
    "services/intake": {"en cola": 1, "en proceso": 1, "fallido": 2},
}
"""How often texts for people spell out states and events, by package. Program logic has them from the table."""
SPANS = {"order.accept", "order.attempt"}
"""Names of trace spans, which are no events."""


def literals(path: Path) -> Iterator[str]:
    """Yields the strings of a module, without those that stand alone: docstrings."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def test_states_and_events_are_spelled_out_in_the_table_and_in_texts_alone() -> None:
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for folder in ("shared", "services", "workers", "clients", "handlers"):
        for path in (ROOT / folder).rglob("*.py"):
            for literal in literals(path):
                names = [name.replace("_", " ") for name in SPELLED_OUT.findall(literal) if name not in SPANS]
                if names:
                    found[str(path.parent.relative_to(ROOT))].update(names)
    assert found.pop("shared/domain") == dict.fromkeys(NAMES, 1) | Counter(step.event for step in TRANSITIONS)
    assert found == TEXTS
    assert {name for names in TEXTS.values() for name in names} <= {*NAMES, *EVENTS}
