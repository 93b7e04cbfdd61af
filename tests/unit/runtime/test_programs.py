"""The commands that messages name are those that work where the user is."""

from pathlib import Path

import pytest

from shared.runtime import programs


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The programs of an environment that is not on PATH, in a project that is the current folder."""
    folder = tmp_path / "project/.venv/bin"
    folder.mkdir(parents=True)
    (folder / "python").touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path / "project")
    return folder


def test_without_the_command_the_interpreter_is_named(environment: Path) -> None:
    assert programs.client_command() == ".venv/bin/python -m clients"
    assert programs.run_command() == ".venv/bin/python -m services"
    assert programs.server_command("inventory") == ".venv/bin/python -m services.inventory"


def test_the_command_is_named_where_it_is_installed(environment: Path) -> None:
    (environment / "comanda").touch(mode=0o755)
    assert programs.client_command() == ".venv/bin/comanda"
    assert programs.run_command() == ".venv/bin/comanda run"
    # In a folder with somebody's own `services`, too.
    assert programs.server_command("inventory") == ".venv/bin/python -P -m services.inventory"


def test_what_path_leads_to_is_named_by_its_name(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (environment / "comanda").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(environment))
    assert programs.client_command() == "comanda"
    assert programs.server_command("gateway") == "python -P -m services.gateway"


def test_another_program_of_that_name_on_path_is_not_meant(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (environment / "comanda").touch(mode=0o755)
    (tmp_path / "comanda").touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    assert programs.client_command() == "project/.venv/bin/comanda"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert programs.client_command() == str(environment / "comanda")
