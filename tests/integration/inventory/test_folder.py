"""The folder whose files are imported, before a real persistence server."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

import services.inventory.folder as module
from clients.errors import ClientError
from clients.inventory.imports import Import, list_imports, undo_import, wait_for_import
from clients.persistence import PersistenceClient
from services.inventory.folder import FolderImporter
from services.inventory.import_applier import ImportApplier
from shared.domain.tables import STOCK
from tests.support.eventually import eventually, running
from tests.support.intake import PATIENCE, PersistenceProcess
from tests.support.intercepted import intercepted

T = TypeVar("T")

SHEET = "store,item,count\nBerlin,Echo Dot,10\nBerlin,Kettle,3\n"


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    """The folder; nobody has made it yet."""
    return tmp_path / "data" / "uploads"


@pytest.fixture
def folder(client: PersistenceClient, uploads: Path) -> FolderImporter:
    return FolderImporter(client, uploads, max_bytes=1_000_000, scan_seconds=0.01)


def write(path: Path, text: str = SHEET) -> None:
    """Writes a file, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


async def drop(folder: FolderImporter, path: Path, text: str = SHEET) -> None:
    """Puts a file into the folder, and has it seen twice."""
    await folder.scan_folder()
    write(path, text)
    await folder.scan_folder()
    await folder.scan_folder()


async def imports(client: PersistenceClient) -> list[Import]:
    """All imports, the oldest first."""
    page = await list_imports(client, limit=100, cursor=None)
    return list(reversed(page.imports))


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(os.listdir(folder))


# A file comes in.


async def test_a_file_is_imported_and_filed_away(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    await drop(folder, uploads / "stock.csv")
    [found] = await imports(client)
    assert (found.name, found.source, found.rows) == ("stock.csv", "folder", 2)
    assert names(uploads) == ["done"]
    assert names(uploads / "done") == [f"stock.{found.id}.csv"]
    assert (uploads / "done" / f"stock.{found.id}.csv").read_text() == SHEET


async def test_files_come_in_by_themselves_and_count(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    async with running(folder.run()), running(ImportApplier(client).run()):
        await eventually(uploads.exists)
        write(uploads / "stock.CSV")
        [found] = await eventually(lambda: imports(client))
        await wait_for_import(client, found.id, seconds=PATIENCE)
        stored = await client.get_item(STOCK.name, {"store": "Berlin", "item": "Echo Dot"})
        assert stored.item is not None
        assert stored.item["count"] == 10
        await eventually(lambda: names(uploads) == ["done"])


async def test_a_file_is_left_until_it_does_not_grow_any_more(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    await folder.scan_folder()
    with (uploads / "stock.csv").open("w") as file:
        for row in ("store,item,count\n", "Berlin,Echo Dot,10\n", "Berlin,Kettle,3\n"):
            file.write(row)
            file.flush()
            await folder.scan_folder()
            assert not await imports(client)
    await folder.scan_folder()
    assert [found.rows for found in await imports(client)] == [2]


async def test_what_is_no_complete_file_is_left_alone(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    for name in (".stock.csv", "stock.csv.part", "stock.csv~", "stock.xlsx", "README"):
        write(uploads / name)
    (uploads / "folder.csv").mkdir()
    write(uploads.parent / "elsewhere.csv")
    (uploads / "link.csv").symlink_to(uploads.parent / "elsewhere.csv")
    os.mkfifo(uploads / "pipe.csv")
    before = names(uploads)
    await folder.scan_folder()
    await folder.scan_folder()
    assert names(uploads) == before
    assert not await imports(client)


async def test_files_come_in_the_order_in_which_they_were_written(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    for name, at in (("a.csv", 3), ("b.tsv", 1), ("c.txt", 2)):
        write(uploads / name, SHEET + f"Berlin,{name},1\n")
        os.utime(uploads / name, (at, at))
    await folder.scan_folder()
    await folder.scan_folder()
    assert [found.name for found in await imports(client)] == ["b.tsv", "c.txt", "a.csv"]


@pytest.mark.parametrize(("name", "shown"), [(b"caf\xe9.csv", "caf�.csv"), (b"x" * 251 + b".csv", "x" * 251 + ".csv")])
async def test_odd_names(
    folder: FolderImporter, uploads: Path, client: PersistenceClient, name: bytes, shown: str
) -> None:
    await drop(folder, uploads / os.fsdecode(name))
    [found] = await imports(client)
    assert found.name == shown
    [filed] = os.listdir(os.fsencode(uploads / "done"))
    assert filed.endswith(f".{found.id}.csv".encode())
    assert filed.startswith(name[:200].removesuffix(b".csv"))


# A file is refused.


async def test_a_file_with_faults_is_refused_with_a_report(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    await drop(folder, uploads / "stock.csv", SHEET + "Paris,Kettle,-4\n")
    assert not await imports(client)
    assert names(uploads) == ["rejected"]
    file, report = sorted((uploads / "rejected").iterdir(), key=lambda path: len(path.name))
    assert file.read_text().endswith("-4\n")
    assert report.name == file.name + ".report.json"
    told = json.loads(report.read_text())
    assert (told["file"], told["error"], told["line"], told["column"]) == ("stock.csv", "invalid_params", 4, 14)
    assert "-4" in told["message"]
    assert "correct the file" in told["hint"]
    assert told["report"]["faults"] == 1
    assert told["report"]["fault_list"][0]["field"] == "count"


@pytest.mark.parametrize(
    ("text", "error"),
    [("", "invalid_params"), ("PK\x03\x04", "invalid_params"), (SHEET + "\n" * 1_000_000, "too_large")],
)
async def test_what_is_no_sheet_is_refused(folder: FolderImporter, uploads: Path, text: str, error: str) -> None:
    await drop(folder, uploads / "stock.csv", text)
    [report] = (uploads / "rejected").glob("*.report.json")
    assert json.loads(report.read_text())["error"] == error


async def test_a_refused_file_keeps_none_of_the_others_back(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    write(uploads / "a.csv", "nothing")
    await drop(folder, uploads / "b.csv")
    assert [found.name for found in await imports(client)] == ["b.csv"]
    assert names(uploads) == ["done", "rejected"]


# A file comes again.


async def test_a_file_that_is_in_already_is_not_imported_again(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    await drop(folder, uploads / "stock.csv")
    with capture_logs() as logs:
        await drop(folder, uploads / "copy.csv")
    [found] = await imports(client)
    assert names(uploads / "done") == [f"copy.{found.id}.csv", f"stock.{found.id}.csv"]
    assert {"event": "file_already_imported", "name": "copy.csv", "id": found.id, "log_level": "info"} in logs


async def test_nothing_that_was_filed_away_is_overwritten(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    for count in (1, 2):
        await drop(folder, uploads / "stock.csv", f"store,item,count\nBerlin,Kettle,{count}\n")
        await drop(folder, uploads / "bad.csv", f"store,item,count\nBerlin,Kettle,-{count}\n")
    assert len(await imports(client)) == len(names(uploads / "done")) == 2
    assert len(names(uploads / "rejected")) == 4


async def test_a_file_whose_import_was_undone_comes_in_again(
    folder: FolderImporter, uploads: Path, client: PersistenceClient
) -> None:
    async with running(ImportApplier(client).run()):
        await drop(folder, uploads / "stock.csv")
        [first] = await imports(client)
        await wait_for_import(client, first.id, seconds=PATIENCE)
        await undo_import(client, first.id)
        await wait_for_import(client, first.id, seconds=PATIENCE)
        await drop(folder, uploads / "stock.csv")
    assert len(await imports(client)) == 2


class Meddling:
    """Asks as usual; before the first question something happens."""

    def __init__(self, client: PersistenceClient, happens: Callable[[], object]) -> None:
        self._client = client
        self._happens: Callable[[], object] | None = happens

    async def ask(self, question: Callable[[PersistenceClient], Awaitable[T]]) -> T:
        if self._happens is not None:
            self._happens()
            self._happens = None
        return await question(self._client)


async def test_a_file_that_is_replaced_while_it_is_imported_is_not_lost(
    uploads: Path, client: PersistenceClient
) -> None:
    other = SHEET + "Paris,Kettle,1\n"

    def replace() -> None:
        (uploads / "new").write_text(other)
        (uploads / "new").rename(uploads / "stock.csv")

    folder = FolderImporter(intercepted(Meddling(client, replace).ask), uploads, max_bytes=1_000_000)
    await drop(folder, uploads / "stock.csv")
    assert (uploads / "stock.csv").read_text() == other
    await folder.scan_folder()
    await folder.scan_folder()
    assert [found.rows for found in await imports(client)] == [2, 3]
    assert [(uploads / "done" / name).read_text() for name in names(uploads / "done")] == [other]


async def test_a_file_that_grows_while_it_is_read_is_taken_whole(uploads: Path, client: PersistenceClient) -> None:
    rows = "".join(f"Berlin,Item {number},1\n" for number in range(5000))

    def grow() -> None:
        with (uploads / "stock.csv").open("a") as file:
            file.write("Paris,Kettle,1\n")

    folder = FolderImporter(intercepted(Meddling(client, grow).ask), uploads, max_bytes=1_000_000)
    await drop(folder, uploads / "stock.csv", "store,item,count\n" + rows)
    assert not await imports(client)
    await folder.scan_folder()
    await folder.scan_folder()
    assert [found.rows for found in await imports(client)] == [5001]


async def test_a_file_that_is_taken_away_while_it_is_imported_is_forgotten(
    uploads: Path, client: PersistenceClient
) -> None:
    folder = FolderImporter(
        intercepted(Meddling(client, (uploads / "stock.csv").unlink).ask), uploads, max_bytes=1_000_000
    )
    with capture_logs() as logs:
        await drop(folder, uploads / "stock.csv")
    assert not [entry for entry in logs if entry["log_level"] != "info"]
    assert not names(uploads / "done")


# Somebody is away.


async def test_a_file_waits_while_persistence_is_away(
    folder: FolderImporter, uploads: Path, client: PersistenceClient, persistence: PersistenceProcess
) -> None:
    persistence.kill()
    await folder.scan_folder()
    write(uploads / "stock.csv")
    await folder.scan_folder()
    for _ in range(2):
        with pytest.raises(ClientError):
            await folder.scan_folder()
    assert names(uploads) == ["stock.csv"]
    persistence.start()
    await folder.scan_folder()
    assert [found.rows for found in await imports(client)] == [2]
    assert names(uploads) == ["done"]


async def test_a_service_killed_before_a_file_is_filed_away_does_not_import_it_twice(
    folder: FolderImporter, uploads: Path, client: PersistenceClient, persistence: PersistenceProcess
) -> None:
    write(uploads / "stock.csv")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.killed_in_folder", str(uploads), str(persistence.port)
    )
    assert await process.wait() == -signal.SIGKILL
    [found] = await imports(client)
    assert names(uploads) == ["stock.csv"]
    await folder.scan_folder()
    await folder.scan_folder()
    assert await imports(client) == [found]
    assert names(uploads / "done") == [f"stock.{found.id}.csv"]


async def test_a_file_that_cannot_be_filed_away_is_not_read_again(uploads: Path, client: PersistenceClient) -> None:
    folder = FolderImporter(client, uploads, max_bytes=1_000_000, postpone_seconds=0.0)
    write(uploads / "done", "in the way")
    with capture_logs() as logs:
        await drop(folder, uploads / "stock.csv")
        await folder.scan_folder()
        assert (uploads / "stock.csv").exists()
        (uploads / "done").unlink()
        await folder.scan_folder()
    [found] = await imports(client)
    assert names(uploads / "done") == [f"stock.{found.id}.csv"]
    assert [entry["event"] for entry in logs] == ["file_accepted", "file_postponed"]


async def test_a_file_that_has_to_wait_is_left_alone_for_a_while(folder: FolderImporter, uploads: Path) -> None:
    write(uploads / "done", "in the way")
    await drop(folder, uploads / "stock.csv")
    (uploads / "done").unlink()
    await folder.scan_folder()
    assert names(uploads) == ["stock.csv"]
    os.utime(uploads / "stock.csv")
    await folder.scan_folder()
    await folder.scan_folder()
    assert names(uploads) == ["done"]


async def test_a_folder_that_cannot_be_had_is_told_of_once(
    folder: FolderImporter, uploads: Path, client: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(uploads, "in the way")
    looks: list[Any] = []
    look = module._list_files

    def counted(path: Path) -> Any:
        looks.append(path)
        return look(path)

    monkeypatch.setattr(module, "_list_files", counted)
    with capture_logs() as logs:
        async with running(folder.run()):
            await eventually(lambda: len(looks) > 3)
            os.unlink(uploads)
            await eventually(uploads.is_dir)
            write(uploads / "stock.csv")
            await eventually(lambda: imports(client))
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [entry["event"] for entry in warnings] == ["folder_scan_failed"]
    assert str(uploads) in warnings[0]["reason"]
