"""Nonces in the file of the distributed service."""

import time
from pathlib import Path

import pytest

from services.distributed.read_model import ReadModel
from shared.domain.errors import Unauthorized


def opened(path: Path) -> ReadModel:
    return ReadModel(path, max_events=10, event_seconds=60, max_notifications=10)


def test_saved_nonces_are_known_to_the_next_process_until_they_have_expired(tmp_path: Path) -> None:
    path = tmp_path / "distributed.db"
    read_model, now = opened(path), time.time()
    for nonce, expires in ((b"old", now - 100), (b"new", now + 30)):
        read_model.nonces.add_nonce(nonce, now, expires, now)
    with read_model.transaction(2):
        read_model.nonces.save_new()
    read_model.nonces.confirm_saved()
    assert not read_model.nonces.has_unsaved
    read_model.close()
    read_model = opened(path)
    read_model.nonces.add_nonce(b"old", now, now + 30, now)
    with pytest.raises(Unauthorized, match="read before"):
        read_model.nonces.add_nonce(b"new", now, now + 30, now)
    read_model.close()


def test_what_was_made_before_the_file_is_refused(tmp_path: Path) -> None:
    now = time.time()
    read_model = opened(tmp_path / "distributed.db")
    with pytest.raises(Unauthorized, match="older"):
        read_model.nonces.add_nonce(b"x", now - 1, now + 29, now)
    read_model.close()
