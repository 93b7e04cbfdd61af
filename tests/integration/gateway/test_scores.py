"""Scores, statistics and notifications over HTTP, and whose they are."""

from pathlib import Path

import pytest

from tests.support.intake import GatewayProcess

SECRET = "a secret of the tests, long enough"


def test_production_does_not_start_without_a_secret(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, [], {"STAGE": "prod"})
    with pytest.raises(AssertionError, match="JWT_SECRET is not set"):
        gateway.start()
    assert gateway.wait() == 2
