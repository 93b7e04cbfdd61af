"""What stops a start: one line with cause and cure, exit status 2, and no traceback."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from shared.domain.errors import StoreError
from shared.runtime.file_lock import FileLock
from tests.support.intake import PATIENCE, GatewayProcess, IntakeProcess, ServerProcess

NOBODY = 65534


def start(
    data_dir: Path, *flags: str, module: str = "services.intake", before: Sequence[str] = (), **settings: str
) -> tuple[int, list[str]]:
    """Runs a server that is not going to run for long: its exit status, and the lines it wrote."""
    environ = {**os.environ, "ENV_FILE": "/dev/null", "SERVER_PORT": "0", **settings, "DATA_DIR": str(data_dir)}
    ended = subprocess.run(
        [*before, sys.executable, "-m", module, *flags],
        env=environ,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.stdout == b""
    return ended.returncode, ended.stderr.decode().splitlines()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"SERVER_PORT": "many"}, "SERVER_PORT=many"),
        ({"ORDER_HANDLER": "no.such:thing"}, "ORDER_HANDLER"),
        ({"SERVER_HOST": "192.0.2.1"}, "192.0.2.1"),
        ({"SERVER_HOST": "no.such.name.invalid"}, "no.such.name.invalid"),
        ({"ENV_FILE": "no-such-file"}, "ENV_FILE"),
    ],
)
def test_wrong_setting_stops_the_start(tmp_path: Path, settings: dict[str, str], told: str) -> None:
    status, lines = start(tmp_path, **settings)
    assert (status, len(lines)) == (2, 1)
    assert told in lines[0]
    assert "To fix it" in lines[0]


def test_port_in_use_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, lines = start(tmp_path, "--host", "127.0.0.1", "--port", str(port))
    assert (status, len(lines)) == (2, 1)
    assert "in use" in lines[0]


def test_data_dir_that_is_no_folder_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    status, lines = start(file)
    assert (status, len(lines)) == (2, 1)
    assert "DATA_DIR" in lines[0]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("services.intake", "orders.db"),
        ("services.intake", "orders-index.db"),
        ("services.intake", "orders.db.lock"),
        ("services.intake", "orders-progress.db-wal"),
        ("services.persistence", "records.db"),
        ("services.distributed", "distributed.db.lock"),
    ],
)
def test_folder_in_the_place_of_a_file_stops_the_start(tmp_path: Path, module: str, name: str) -> None:
    (tmp_path / name).mkdir()
    status, lines = start(tmp_path, module=module)
    assert (status, len(lines)) == (2, 1)
    assert f"{tmp_path / name} is a folder" in lines[0]


def test_file_in_the_place_of_a_folder_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "archive").touch()
    status, lines = start(tmp_path)
    assert (status, len(lines)) == (2, 1)
    assert f"{tmp_path / 'archive'} is a file" in lines[0]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("services.intake", "orders.db"),
        ("services.intake", "orders-progress.db"),
        ("services.persistence", "records.db"),
        ("services.distributed", "distributed.db"),
    ],
)
def test_start_waits_for_a_program_that_has_a_file_locked(tmp_path: Path, module: str, name: str) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / name, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        status, lines = start(tmp_path, module=module, STORE_LOCK_SECONDS="0.1")
        assert (status, len(lines)) == (2, 1)
        assert f"{tmp_path / name} has been locked by another program" in lines[-1]


def test_start_goes_on_once_a_file_is_unlocked(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "orders.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        intake = IntakeProcess(tmp_path)
        starting = threading.Thread(target=intake.start)
        starting.start()
        assert intake.wait_for_log("store_locked")["file"] == str(tmp_path / "orders.db")
        other.execute("ROLLBACK")
    starting.join(PATIENCE)
    assert not starting.is_alive()
    assert intake.terminate() == 0


def test_start_that_waits_for_a_file_can_be_stopped(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "orders.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        intake = IntakeProcess(tmp_path)
        intake.ready_log = "store_locked"
        intake.start()
        assert intake.terminate() == 2


@pytest.mark.parametrize("content", ["newer", "garbage"])
def test_store_that_cannot_be_used_stops_the_start(tmp_path: Path, content: str) -> None:
    file = tmp_path / "orders.db"
    if content == "garbage":
        file.write_bytes(b"no database at all" * 1000)
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    status, lines = start(tmp_path)
    assert (status, len(lines)) == (2, 1)
    assert "orders.db" in lines[0]


def test_second_intake_on_the_same_folder_stops(tmp_path: Path) -> None:
    with IntakeProcess(tmp_path):
        status, lines = start(tmp_path)
    assert (status, len(lines)) == (2, 1)
    assert "another intake" in lines[0]


def test_suite_stops_when_a_server_cannot_start(tmp_path: Path) -> None:
    status, lines = start(tmp_path, module="services", ORDER_HANDLER="no.such:thing")
    assert status == 2
    assert any(line.startswith("error: ORDER_HANDLER") for line in lines)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can make files of another user"
)
@pytest.mark.parametrize(
    "module", ["services", "services.intake", "services.persistence", "services.distributed", "services.inventory"]
)
def test_files_of_another_user_stop_the_start(tmp_path: Path, module: str) -> None:
    for name in ("orders.db", "records.db", "distributed.db"):
        for path in (tmp_path / name, tmp_path / f"{name}.lock"):
            path.touch(mode=0o600)
            os.chown(path, NOBODY, NOBODY)
    # Without these, root is a user like any other.
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    status, lines = start(tmp_path, module=module, before=unprivileged)
    assert (status, len(lines)) == (2, 1)
    assert "cannot be written to by the user root" in lines[0]


def test_file_of_another_user_elsewhere_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DB_PATH may have any ending, which the folder's check does not know."""

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=r"shop\.lock cannot be written to"):
        FileLock(tmp_path / "shop.lock")


@pytest.mark.parametrize(
    ("server", "bind"), [(IntakeProcess, "SERVER_BIND"), (partial(GatewayProcess, servers=[]), "MAIN_SERVER_BIND")]
)
class TestDevStage:
    """What a server says in STAGE=dev of those who can reach it."""

    def test_server_warns_where_others_can_reach_it(
        self, tmp_path: Path, server: Callable[..., ServerProcess], bind: str
    ) -> None:
        with server(tmp_path, settings={"STAGE": "dev", bind: "::"}) as process:
            warning = process.wait_for_log("dev_stage_is_open_to_others")
            assert (warning["level"], warning["setting"]) == ("warning", bind)

    @pytest.mark.parametrize(
        "settings",
        [{"STAGE": "dev", "BIND": "localhost"}, {"STAGE": "dev", "BIND": "::", "OPEN_INTERNAL_PORTS": "true"}],
        ids=["this machine alone", "a network that keeps others out"],
    )
    def test_server_starts_without_a_warning(
        self, tmp_path: Path, server: Callable[..., ServerProcess], bind: str, settings: dict[str, str]
    ) -> None:
        named = {bind if name == "BIND" else name: value for name, value in settings.items()}
        with server(tmp_path, settings=named) as process:
            process.terminate()
            process.wait_for_log("stopped")
            assert "dev_stage_is_open_to_others" not in {entry.get("event") for entry in process.log}
