"""What the docs have to be typed, and how an answer is compared with the one that is shown."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
TYPED = (
    ("README.md",),
    (
        "docs/OPERATIONS.md",
        "docs/how-to/find-a-stuck-order.md",
        "docs/how-to/back-up-and-restore.md",
        "docs/how-to/upgrade.md",
    ),
    ("docs/tutorial.md", "docs/how-to/write-a-handler.md", "docs/how-to/ask-the-lake.md"),
)
"""Documents that are typed from the first line to the last, those of a group one after the other in one checkout."""
NOT_TYPED = {
    r"pip install ": "needs a package index; tests/integration/test_installed.py installs the wheel",
    r"kill -USR2 PID": "needs a process id; tests/integration/test_state_dump.py sends the signal",
    r"docker ": "needs a container engine; tests/unit/test_compose.py checks compose.yaml",
    r"STORE=dynamodb ": "needs AWS; tests/integration/test_intake_on_dynamodb.py starts servers on a local one",
}
"""Lines that are not typed, and why."""
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-([0-9a-f]{12})")


class Block(NamedTuple):
    """A block of a document, to be typed."""

    line: int
    kind: str
    """`python`, `console`, or `shell` for an indented one."""
    text: str


def read_blocks(document: str) -> Iterator[Block]:
    """Yields what is to be typed, in the order of the document."""
    begin, kind, lines = 0, "", list[str]()
    for number, line in enumerate([*(ROOT / document).read_text().splitlines(), ""], 1):
        if kind.startswith("`"):
            if line != "```":
                lines.append(line)
                continue
            if kind in ("```python", "```console"):
                yield Block(begin, kind.strip("`"), "\n".join(lines) + "\n")
            kind, lines = "", []
        elif line.startswith("```"):
            begin, kind = number, line
        elif line.startswith("    "):
            begin = begin if lines else number
            lines.append(line[4:])
        elif lines:
            yield Block(begin, "shell", "\n".join(lines) + "\n")
            lines = []


def find_reason(command: str) -> str | None:
    """Returns why a line is not typed; None for one that is."""
    return next((reason for pattern, reason in NOT_TYPED.items() if re.search(pattern, command)), None)


def as_json(line: str) -> Any:
    """Returns a shown line of JSON, in which `…` stands for what is left out or varies."""
    whole = re.sub(r",…([}\]])|…(?=})", lambda found: found[1] or "", line)
    return json.loads(re.sub(r"([\[:,])…", r'\1"…"', whole))


def is_answer(line: str) -> bool:
    """Whether a line of a session is shown, rather than typed."""
    return re.match(r'\[?\{"(success|event)"', line) is not None


def find_difference(shown: Any, found: Any, ids: dict[str, str]) -> str | None:
    """Returns where an answer differs from the one shown; None where all that is shown is there.

    An id counts as shown when it has the same number, and any value does for a name such as BOOK-ID. The real value is
    kept in `ids`.
    """
    if isinstance(shown, dict) and isinstance(found, dict):
        for name, value in shown.items():
            if name not in found:
                return f"{name} is missing in {found}"
            if difference := find_difference(value, found[name], ids):
                return f"{name}: {difference}"
        return None
    if isinstance(shown, list) and isinstance(found, list):
        pairs = zip(shown, found, strict=False)
        differences = [difference for pair in pairs if (difference := find_difference(*pair, ids))]
        return differences[0] if differences else None if len(shown) <= len(found) else f"too short: {found}"
    if isinstance(shown, str) and isinstance(found, str):
        if (one := ID.fullmatch(shown)) and (other := ID.fullmatch(found)) and one[1] == other[1]:
            ids[shown] = found
            return None
        if re.fullmatch(r"[A-Z]+-ID", shown):
            ids[shown] = found
            return None
        if re.fullmatch(re.escape(shown).replace("…", ".*"), found):
            return None
    if shown == "…" or (type(shown) is type(found) and shown == found):
        return None
    return f"{found!r} instead of {shown!r}"


def as_event(line: str) -> Mapping[str, Any] | None:
    """Returns the event that a line of a session shows; None for a line that is something else."""
    if not is_answer(line) or "event" not in (shown := as_json(line)):
        return None
    found: Mapping[str, Any] = shown
    return found
