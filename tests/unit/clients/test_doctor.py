"""Each check of `doctor`: what is wrong is found, and has a cure."""

import os
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from clients.errors import Unreachable
from clients.tools.backup.last_backup import LastBackup, write_last_backup
from clients.tools.backup.locations import StoreLocations
from clients.tools.doctor import files, system
from clients.tools.doctor.aws import check_dynamodb
from clients.tools.doctor.findings import DoctorSettings, Finding, has_errors
from clients.tools.doctor.servers import check_servers, list_server_addresses, probe_port
from shared.domain.orders import iso_time
from shared.stores.sqlite.database import connect
from shared.stores.sqlite.files import RESTORE_MARK, StoreFiles
from shared.stores.sqlite.orders import SqliteOrderStore
from tests.support.orders import accept, request
from tests.support.ports import hold_port

NOW = 1_900_000_000.0


@pytest.fixture
async def places(tmp_path: Path) -> StoreLocations:
    """The files of an intake that has accepted one order, and was stopped."""
    found = StoreLocations(StoreFiles(tmp_path / "orders.db"), tmp_path)
    store = SqliteOrderStore(found.orders)
    await accept(store, request(), at=int(NOW * 1e6))
    await store.close()
    _make_private(tmp_path)
    return found


def _make_private(folder: Path) -> None:
    folder.chmod(0o700)
    for path in folder.iterdir():
        path.chmod(0o600)


def levels(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    found = list(findings)
    assert all((one.cure is None) == (one.level == "ok") for one in found)
    return [(one.check, one.level) for one in found]


def test_misspelt_setting_is_named_with_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("WORKER_CUONT=3\n")
    (finding,) = system.check_settings({"ENV_FILE": str(file)})
    assert "WORKER_CUONT" in finding.found
    assert "WORKER_COUNT" in str(finding.cure)
    file.write_text("WORKER_COUNT=3\n")
    assert levels(system.check_settings({"ENV_FILE": str(file)})) == [("settings", "ok")]


@pytest.mark.parametrize(
    ("newest", "now", "level"),
    [
        (None, NOW, "ok"),
        (int(NOW * 1e6), NOW, "ok"),
        (int(NOW * 1e6), NOW - 3, "ok"),
        (int(NOW * 1e6), NOW - 60, "error"),
        (None, 1000.0, "error"),
    ],
)
def test_clock(newest: int | None, now: float, level: str) -> None:
    assert levels([system.check_clock(newest, now)]) == [("clock", level)]


@pytest.mark.parametrize(("hard", "level"), [(1024, "warning"), (20_000, "ok"), (-1, "ok"), (100, "warning")])
def test_open_files(hard: int, level: str) -> None:
    assert levels([system.check_open_files(12_000, hard)]) == [("open files", level)]


@pytest.mark.parametrize(("version", "level"), [((3, 34, 1), "error"), ((3, 40, 0), "ok")])
def test_sqlite(version: tuple[int, ...], level: str) -> None:
    assert levels([system.check_sqlite(version)]) == [("sqlite", level)]


def test_dual_stack() -> None:
    (found,) = levels([system.check_dual_stack()])
    assert found[1] in ("ok", "warning")


def test_disk_is_compared_with_the_reserve(tmp_path: Path) -> None:
    assert levels([files.check_disk(tmp_path, 2**40)]) == [("disk space", "error")]
    assert files.check_disk(tmp_path, 0).level != "error"


def test_fsync_leaves_nothing_behind(tmp_path: Path) -> None:
    assert files.check_fsync(tmp_path).found.endswith(f"ms in {tmp_path}")
    assert not list(tmp_path.iterdir())


async def test_files_of_another_user_are_an_error(places: StoreLocations) -> None:
    assert levels(files.check_owners(places, os.geteuid())) == [("owners", "ok")]
    # Whoever it is that runs this: somebody else asks.
    (finding,) = files.check_owners(places, os.geteuid() + 1)
    assert finding.level == "error"
    assert "chown -R" in str(finding.cure)


async def test_files_that_others_can_open(places: StoreLocations) -> None:
    places.orders.orders.chmod(0o644)
    (finding,) = files.check_owners(places, os.geteuid())
    assert (finding.level, str(places.orders.orders) in finding.found) == ("warning", True)


async def test_folder_for_several_users_is_no_fault(places: StoreLocations) -> None:
    """The volume of a container, which is root's and has the sticky bit."""
    (folder,) = places.store_folders
    folder.chmod(0o777)
    assert levels(files.check_owners(places, os.geteuid())) == [("modes", "warning")]
    folder.chmod(0o1777)
    assert levels(files.check_owners(places, os.geteuid())) == [("owners", "ok")]


async def test_schemas(places: StoreLocations) -> None:
    assert levels(files.check_schemas(places)) == [("schema", "ok")]
    file = connect(places.orders.progress)
    file.execute("PRAGMA user_version = 1")
    file.close()
    file = connect(places.orders.orders)
    file.execute("PRAGMA user_version = 999")
    file.close()
    assert levels(files.check_schemas(places)) == [("schema", "warning"), ("schema", "error")]
    places.orders.orders.write_bytes(b"no database" * 1000)
    assert levels(files.check_schemas(places)) == [("schema", "warning"), ("schema", "error")]


async def test_interrupted_restore(places: StoreLocations) -> None:
    (places.data / RESTORE_MARK).touch()
    assert levels(files.check_schemas(places))[0] == ("restore", "error")


async def test_newest_order(places: StoreLocations, tmp_path: Path) -> None:
    assert files.find_newest_order(places) == int(NOW * 1e6)
    other = tmp_path / "other"
    assert files.find_newest_order(StoreLocations(StoreFiles(other / "orders.db"), other)) is None


@pytest.mark.parametrize(("days", "level"), [(None, "warning"), (0.5, "ok"), (30.0, "warning")])
def test_age_of_the_last_backup(tmp_path: Path, days: float | None, level: str) -> None:
    if days is not None:
        write_last_backup(tmp_path, LastBackup(iso_time(round((NOW - days * 86_400) * 1e6)), "/backups/1"))
    assert levels([files.check_backup_age(tmp_path, NOW)]) == [("backup", level)]


async def nobody(server: str) -> str:
    raise Unreachable(f"{server} does not answer")


async def test_suite_that_does_not_run_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [hold_port(monkeypatch) for _ in range(4)]
    settings = DoctorSettings(
        server_port=ports[0], tcp_persist_port=ports[1], distributed_port=ports[2], main_server_port=ports[3]
    )
    findings = await check_servers(settings, nobody)
    assert levels(findings) == [(name, "warning") for name in ("intake", "persistence", "distributed", "gateway")]
    assert not has_errors(findings)

    async def all_but_the_intake(server: str) -> str:
        if server == "intake":
            raise Unreachable("it does not answer")
        return "away" if server == "inventory" else "ok"

    assert levels(await check_servers(settings, all_but_the_intake)) == [
        ("intake", "error"),
        ("persistence", "ok"),
        ("distributed", "ok"),
        ("gateway", "ok"),
        ("inventory", "warning"),
        ("shop", "ok"),
    ]


async def test_port_that_another_program_has_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = DoctorSettings(server_host="127.0.0.1", server_port=other.getsockname()[1])
        finding = (await check_servers(settings, nobody))[0]
    assert (finding.check, finding.level) == ("intake", "error")
    assert "SERVER_PORT" in str(finding.cure)


async def test_host_that_is_not_this_machine() -> None:
    finding = (await check_servers(DoctorSettings(server_host="192.0.2.1"), nobody))[0]
    assert (finding.check, finding.level) == ("intake", "error")
    assert "SERVER_HOST" in str(finding.cure)
    assert probe_port("192.0.2.1", 8888) is not None


def test_dynamodb_has_no_distributed_service() -> None:
    assert "distributed" not in [one.server for one in list_server_addresses(DoctorSettings(store="dynamodb"))]


async def test_dynamodb_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    nowhere = f"http://127.0.0.1:{hold_port(monkeypatch)}"
    settings = DoctorSettings(store="dynamodb", dynamodb_endpoint=nowhere, aws_region="eu-west-1", store_seconds=0.2)
    finding = await check_dynamodb(settings)
    assert (finding.check, finding.level) == ("dynamodb", "error")
    assert "DYNAMODB_ENDPOINT" in str(finding.cure)
