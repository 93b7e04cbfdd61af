"""Pages of notifications."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.distributed.read_model import ReadModel


@pytest.fixture
def read_model(tmp_path: Path) -> Iterator[ReadModel]:
    opened = ReadModel(tmp_path / "distributed.db", max_events=10, event_seconds=60, max_notifications=1000)
    yield opened
    opened.close()


def test_page_ends_before_a_mebibyte(read_model: ReadModel) -> None:
    with read_model.transaction(800) as commit:
        for number in range(800):
            read_model.notifications.add_notification(1, f"{number} {'ñ' * 990}", "info")
        commit([])
    before = None
    seen: list[str] = []
    while True:
        page, before = read_model.notifications.load_page(1, unread=False, limit=1000, before=before)
        assert page
        assert len(json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()) < 2**20
        seen += [one["message"].split()[0] for one in page]
        if before is None:
            break
    assert seen == [str(number) for number in reversed(range(800))]
    assert len(read_model.notifications.load_page(1, unread=False, limit=5, before=None)[0]) == 5


def test_notifications_are_deleted_when_they_are_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.distributed.notifications._REMOVED_AT_ONCE", 2)
    bounds = {"max_events": 10, "event_seconds": 60, "max_notifications": 1000}
    read_model = ReadModel(tmp_path / "distributed.db", **bounds, keep_notifications_days=1)
    today = time.time_ns()
    for number in range(7):
        if number == 5:
            monkeypatch.setattr("time.time_ns", lambda: today + 2 * 86_400 * 10**9)
        with read_model.transaction(1) as commit:
            read_model.notifications.add_notification(1, str(number), "info")
            commit([])
    turns = 1
    while read_model.delete_expired():
        turns += 1
    page, _ = read_model.notifications.load_page(1, unread=False, limit=50, before=None)
    assert ([one["message"] for one in page], turns) == (["6", "5"], 3)
    read_model.close()
