"""Where settings come from, and what a wrong one says."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from clients.cli.targets import read_setting
from services.distributed.settings import DistributedSettings
from services.gateway.settings import GatewaySettings
from services.intake.settings import IntakeSettings
from services.inventory.settings import InventorySettings
from services.persistence.settings import PersistenceSettings
from shared.domain.errors import StartupError
from shared.runtime import logs
from shared.runtime.settings import load_settings, parse_flags


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("SERVER_PORT=1\nWORKER_COUNT=2\nMAX_ATTEMPTS=3\n")
    environ = {"ENV_FILE": str(file), "SERVER_PORT": "4", "WORKER_COUNT": "5", "LEASE_SECONDS": ""}
    settings = load_settings(IntakeSettings, flags={"SERVER_PORT": "6"}, environ=environ)
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
        load_settings(IntakeSettings, flags={}, environ={name: value, "ENV_FILE": "/dev/null"})
    assert f"{name}={value} (from the environment)" in caught.value.message
    assert "expected" in caught.value.message or "invalid" in caught.value.message
    assert caught.value.hint is not None


def test_own_settings_file_beats_that_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env.local").write_text("SERVER_PORT=1\nWORKER_COUNT=2\n")
    (tmp_path / ".env").write_text("SERVER_PORT=3\n")
    assert load_settings(IntakeSettings, flags={}, environ={}).server_port == 3
    assert load_settings(IntakeSettings, flags={}, environ={}).worker_count == 2
    assert load_settings(IntakeSettings, flags={}, environ={"SERVER_PORT": "4"}).server_port == 4
    monkeypatch.setenv("ENV_FILE", "")
    monkeypatch.delenv("SERVER_PORT", raising=False)
    assert read_setting("SERVER_PORT", "5") == "3"
    # A file that is named stands for both.
    monkeypatch.setenv("ENV_FILE", ".env.local")
    assert read_setting("SERVER_PORT", "5") == "1"
    assert load_settings(IntakeSettings, flags={}, environ={"ENV_FILE": ".env.local"}).server_port == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (GatewaySettings, "JWT_SECRET"),
        (GatewaySettings, "SERVICE_TOKEN"),
        (IntakeSettings, "SERVICE_TOKEN"),
        (PersistenceSettings, "SERVICE_TOKEN"),
        (InventorySettings, "SERVICE_TOKEN"),
        (DistributedSettings, "SERVICE_TOKEN"),
        (DistributedSettings, "PICKLE_KEY"),
    ],
)
def test_secret_that_is_wrong_is_not_shown(kind: type[msgspec.Struct], name: str) -> None:
    with pytest.raises(StartupError) as caught:
        load_settings(kind, flags={}, environ={name: "hunter2", "ENV_FILE": "/dev/null"})
    told = f"{caught.value.message} {caught.value.hint}"
    assert f"{name} (from the environment) is wrong: expected text of length >=" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("form", ["console", "json"])
def test_traceback_shows_no_values(form: logs.LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging(form=form, level="info", service="test")

    environ = {"JWT_SECRET": "hunter2" * 8, "ENV_FILE": "/dev/null"}

    def fail(settings: GatewaySettings) -> None:
        raise RuntimeError(settings.stage)

    try:
        fail(load_settings(GatewaySettings, flags={}, environ=environ))
    except RuntimeError:
        structlog.get_logger().exception("failed")
    finally:
        structlog.reset_defaults()
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (IntakeSettings, "SERVER"),
        (PersistenceSettings, "TCP_PERSIST"),
        (DistributedSettings, "DISTRIBUTED"),
        (GatewaySettings, "MAIN_SERVER"),
    ],
)
def test_server_listens_at_bind_and_without_it_at_host(kind: Any, name: str) -> None:
    environ = {"ENV_FILE": "/dev/null", f"{name}_HOST": "somewhere", f"{name}_PORT": "7"}
    assert load_settings(kind, flags={}, environ=environ).listening == ("somewhere", 7, f"{name}_HOST")
    bound = load_settings(kind, flags={}, environ={**environ, f"{name}_BIND": "::1"})
    assert bound.listening == ("::1", 7, f"{name}_BIND")
    assert getattr(bound, f"{name.lower()}_host") == "somewhere"


def test_missing_settings_file_is_told() -> None:
    with pytest.raises(StartupError, match="ENV_FILE"):
        load_settings(IntakeSettings, flags={}, environ={"ENV_FILE": "no-such-file"})


def test_flags_stand_for_settings() -> None:
    names = {"-p/--port": "SERVER_PORT", "--host": "SERVER_HOST"}
    flags = parse_flags(IntakeSettings, ["-p", "7"], prog="x", description="x", names=names)
    assert flags == {"SERVER_PORT": "7"}


def test_an_empty_prefix_is_none_and_any_other_empty_setting_its_default(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("DYNAMODB_PREFIX=\nCORPORATE_DATA=\n")
    found = load_settings(PersistenceSettings, flags={}, environ={"ENV_FILE": str(file)})
    assert (found.dynamo_settings().prefix, found.corporate_data) == ("", "CorporateData")
    found = load_settings(PersistenceSettings, flags={}, environ={"ENV_FILE": "/dev/null", "DYNAMODB_PREFIX": ""})
    assert found.dynamodb_prefix == ""
    assert load_settings(PersistenceSettings, flags={}, environ={"ENV_FILE": "/dev/null"}).dynamodb_prefix == "comanda-"
