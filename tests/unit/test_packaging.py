"""What the package says of itself, and what a client-only installation has to have."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from services.command import choose_stage

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
SERVERS_ALONE = {"aioboto3", "aiosqlite", "boto3", "botocore", "httptools", "limits", "multipart", "prometheus_client"}
SERVERS_ALONE |= {"pysqlite3", "redis", "setproctitle", "structlog", "uvicorn", "uvloop"}
COMMANDS = [
    "app",
    "data",
    "event_stream",
    "inventory",
    "order_input",
    "order_sender",
    "readiness",
    "shop",
    "statistics",
    "token",
]
"""The modules of the commands that a client-only installation has."""
LIBRARY = ["blocking", "distributed", "intake", "persistence", "services", "inventory.stock", "inventory.upload"]


def test_every_package_is_typed() -> None:
    assert not [name for name in PACKAGES if not (ROOT / name / "py.typed").exists()]


def test_clients_need_no_more_than_the_whole() -> None:
    groups = PROJECT["dependency-groups"]
    assert set(groups["client"]) <= set(PROJECT["project"]["dependencies"])
    locked = (ROOT / "requirements-client.lock").read_text()
    assert not [name for name in SERVERS_ALONE if f"{name.replace('_', '-')}==" in locked]


def test_locks_agree_on_every_version() -> None:
    pins: dict[str, str] = {}
    for name in ("", "-traces", "-client", "-build"):
        for line in (ROOT / f"requirements{name}.lock").read_text().splitlines():
            package, equals, rest = line.partition("==")
            if equals:
                version = rest.split()[0]
                assert pins.setdefault(package, version) == version, (name, package)


@pytest.mark.parametrize(
    "modules", [[f"clients.cli.{name}" for name in COMMANDS], [f"clients.{name}" for name in LIBRARY]]
)
def test_client_modules_do_without_the_packages_of_servers(modules: list[str]) -> None:
    missing = "".join(f"sys.modules[{name!r}] = None;" for name in SERVERS_ALONE)
    code = f"import sys;{missing}import {', '.join(modules)}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_command_of_servers_says_what_is_missing() -> None:
    code = (
        "import sys; sys.modules['uvloop'] = None; sys.argv = ['comanda', {word!r}];"
        "from services.command import main; sys.exit(main())"
    )
    for word, status in (("loadtest", 1), ("run", 2)):
        told = subprocess.run(
            [sys.executable, "-c", code.format(word=word)], cwd=ROOT, check=False, capture_output=True, text=True
        )
        assert told.returncode == status
        assert "the package uvloop, which is not installed" in told.stderr
        assert told.stderr.count("\n") == 1


def test_run_is_for_development_where_nothing_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ: dict[str, str] = {}
    choose_stage(environ)
    assert environ == {"STAGE": "dev"}
    for given in ({"STAGE": "prod"}, {"JWT_SECRET": "x" * 32}, {"STAGE": "", "JWT_SECRET": "x" * 32}):
        environ = dict(given)
        choose_stage(environ)
        assert environ == given
    (tmp_path / ".env").write_text("STAGE=prod\n")
    environ = {}
    choose_stage(environ)
    assert environ == {}
