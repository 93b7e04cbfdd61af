"""docs/OPERATIONS.md has every alarm that a server can log, and no other; other pages name only such."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MENTION = re.compile(r"(?:log event|warning) `(\w+)`|`(\w+)` (?:in|to) the log\b")
"""The two ways in which a sentence names a log event."""
FOLDERS = ("services", "workers", "shared", "clients")
CALLS = {"warning", "error", "exception", "critical", "repeat_work", "log_internal_error"}


def logged_events() -> set[str]:
    """Returns the name of every event that is logged as a warning or worse; what is not constant in it is `…`."""
    found: set[str] = set()
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if name not in CALLS:
                continue
            match node.args[0]:
                case ast.Constant(str(event)):
                    found.add(event)
                case ast.JoinedStr(parts):
                    found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts))
    return found


def test_every_alarm_is_in_the_table() -> None:
    text = (ROOT / "docs" / "OPERATIONS.md").read_text().partition("## Alarms")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    listed = {event for cell in rows for event in re.findall(r"`([^`]+)`", cell)}
    events = logged_events()
    assert len(events) > 40
    assert listed == events


def test_every_log_event_that_a_sentence_names_is_logged() -> None:
    text = " ".join(" ".join(path.read_text().split()) for path in DOCS)
    mentioned = {one or other for one, other in MENTION.findall(text)}
    assert len(mentioned) > 5
    assert mentioned <= logged_events()
