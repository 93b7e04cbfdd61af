"""Names that no server reads are named, with the setting that was probably meant."""

from pathlib import Path

import pytest

from shared.runtime.parent import PARENT_PID
from shared.runtime.setting_names import find_unknown_settings, warn_of_unknown_settings


def test_unknown_name_in_a_file_is_named_with_the_nearest_setting(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("WORKER_COUNT=2\nJWT_SECRETS=x\nSOMETHING_ELSE_ALTOGETHER=1\n")
    found = find_unknown_settings({"ENV_FILE": str(file)})
    assert found == [
        ("JWT_SECRETS", str(file), "JWT_SECRET"),
        ("SOMETHING_ELSE_ALTOGETHER", str(file), None),
    ]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("JWT_SERCET", "JWT_SECRET"), ("WORKERS_COUNT", "WORKER_COUNT"), ("worker_count", "WORKER_COUNT")],
)
def test_misspelt_name_in_the_environment_is_named(name: str, nearest: str) -> None:
    assert find_unknown_settings({"ENV_FILE": "/dev/null", name: "1"}) == [(name, "the environment", nearest)]


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "LANG", "HOSTNAME", "XDG_DATA_DIRS", "AWS_ENDPOINT_URL_S3", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"],
)
def test_names_of_other_programs_in_the_environment_are_left_alone(name: str) -> None:
    assert find_unknown_settings({"ENV_FILE": "/dev/null", name: "1"}) == []


def test_warning_has_the_name_and_not_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings"
    file.write_text("JWT_SECRETS=do-not-show\n")
    monkeypatch.setenv("ENV_FILE", str(file))
    warn_of_unknown_settings()
    told = "".join(capsys.readouterr())
    assert "JWT_SECRETS" in told
    assert "nearest=JWT_SECRET" in told
    assert "do-not-show" not in told
    # The supervisor has warned for all its servers.
    monkeypatch.setenv(PARENT_PID, "1")
    warn_of_unknown_settings()
    assert "JWT_SECRETS" not in "".join(capsys.readouterr())
