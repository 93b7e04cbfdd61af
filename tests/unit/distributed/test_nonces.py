"""Nonces in the file of the distributed service."""

import time
from pathlib import Path

import pytest

from services.distributed.knowledge import Knowledge
from shared.domain.errors import Unauthorized


def opened(path: Path) -> Knowledge:
    return Knowledge(path, max_events=10, event_seconds=60, max_notifications=10)


def test_saved_nonces_are_known_to_the_next_process_until_they_have_expired(tmp_path: Path) -> None:
    path = tmp_path / "distributed.db"
    knowledge, now = opened(path), time.time()
    for nonce, expires in ((b"old", now - 100), (b"new", now + 30)):
        knowledge.nonces.use(nonce, now, expires, now)
    with knowledge.transaction(2):
        knowledge.nonces.save()
    knowledge.nonces.saved()
    assert not knowledge.nonces.unsaved
    knowledge.close()
    knowledge = opened(path)
    knowledge.nonces.use(b"old", now, now + 30, now)
    with pytest.raises(Unauthorized, match="read before"):
        knowledge.nonces.use(b"new", now, now + 30, now)
    knowledge.close()


def test_what_was_made_before_the_file_is_refused(tmp_path: Path) -> None:
    now = time.time()
    knowledge = opened(tmp_path / "distributed.db")
    with pytest.raises(Unauthorized, match="older"):
        knowledge.nonces.use(b"x", now - 1, now + 29, now)
    knowledge.close()
