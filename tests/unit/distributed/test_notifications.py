"""Pages of notifications."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.distributed.knowledge import Knowledge


@pytest.fixture
def knowledge(tmp_path: Path) -> Iterator[Knowledge]:
    opened = Knowledge(tmp_path / "distributed.db", max_events=10, event_seconds=60, max_notifications=1000)
    yield opened
    opened.close()


def test_page_ends_before_a_mebibyte(knowledge: Knowledge) -> None:
    with knowledge.transaction(800) as commit:
        for number in range(800):
            knowledge.notifications.add(1, f"{number} {'ñ' * 990}", "info")
        commit([])
    before = None
    seen: list[str] = []
    while True:
        page, before = knowledge.notifications.page(1, unread=False, limit=1000, before=before)
        assert page
        assert len(json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()) < 2**20
        seen += [one["message"].split()[0] for one in page]
        if before is None:
            break
    assert seen == [str(number) for number in reversed(range(800))]
    assert len(knowledge.notifications.page(1, unread=False, limit=5, before=None)[0]) == 5
