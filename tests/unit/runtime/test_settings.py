"""Where settings come from, and what a wrong one says."""

from pathlib import Path

import pytest

from services.intake.settings import IntakeSettings
from shared.domain.errors import StartupError
from shared.runtime.settings import load, parse_flags


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("SERVER_PORT=1\nWORKER_COUNT=2\nMAX_ATTEMPTS=3\n")
    environ = {"ENV_FILE": str(file), "SERVER_PORT": "4", "WORKER_COUNT": "5", "LEASE_SECONDS": ""}
    settings = load(IntakeSettings, flags={"SERVER_PORT": "6"}, environ=environ)
    assert (settings.server_port, settings.worker_count, settings.max_attempts) == (6, 5, 3)
    assert settings.lease_seconds == IntakeSettings().lease_seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVER_PORT", "abc"),
        ("SERVER_PORT", "70000"),
        ("LOG_FORMAT", "xml"),
        ("WORKER_COUNT", "0"),
        ("IDLE_SECONDS", "-1"),
    ],
)
def test_wrong_value_is_told_with_name_value_origin_and_cure(name: str, value: str) -> None:
    with pytest.raises(StartupError) as caught:
        load(IntakeSettings, flags={}, environ={name: value, "ENV_FILE": "/dev/null"})
    assert f"{name}={value} (from the environment)" in caught.value.message
    assert "expected" in caught.value.message or "invalid" in caught.value.message
    assert caught.value.hint is not None


def test_missing_settings_file_is_told() -> None:
    with pytest.raises(StartupError, match="ENV_FILE"):
        load(IntakeSettings, flags={}, environ={"ENV_FILE": "no-such-file"})


def test_flags_stand_for_settings() -> None:
    names = {"-p/--port": "SERVER_PORT", "--host": "SERVER_HOST"}
    flags = parse_flags(IntakeSettings, ["-p", "7"], prog="x", description="x", names=names)
    assert flags == {"SERVER_PORT": "7"}
