"""Scores, statistics and notifications over HTTP, and whose they are."""

from pathlib import Path

import pytest

from tests.support.intake import GatewayProcess


def test_production_does_not_start_without_keys(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, [], {"STAGE": "prod"})
    with pytest.raises(AssertionError, match="JWT_KEYS is not set"):
        gateway.start()
    assert gateway.wait() == 2
