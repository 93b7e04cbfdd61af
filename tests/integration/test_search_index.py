"""The search index on real files: kills, a full disk, damaged files, and readers in other processes."""

import asyncio
import contextlib
import multiprocessing
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import structlog

from shared.domain.errors import IndexBehind, IndexMissing
from shared.search.fields import SCHEMA_VERSION
from shared.search.port import BookSearch, IndexedBook
from shared.search.tantivy.folders import TenantFolder
from shared.search.tantivy.index import TantivyBookIndex, TantivyOptions
from shared.wire.cursors import Cursors
from tests.support.books import iterate_batches, make_book
from tests.support.eventually import eventually
from tests.support.search_writer import fill_disk, open_index, write_books

KILLS = 60


@pytest.fixture
def processes() -> ForkServerContext:
    """Starts processes in milliseconds: they are forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.search_writer"])
    return context


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[TantivyBookIndex]:
    made = open_index(tmp_path)
    yield made
    await made.close()


async def count(index: TantivyBookIndex) -> int:
    return (await index.search("main", BookSearch())).total


async def test_kills_lose_no_commit_and_block_none(
    tmp_path: Path, index: TantivyBookIndex, processes: ForkServerContext
) -> None:
    await index.build("main", iterate_batches([]), "0")
    chance = random.Random(18)
    for _ in range(KILLS):
        ours, theirs = processes.Pipe(duplex=False)
        process = processes.Process(target=write_books, args=(tmp_path, theirs), daemon=True)
        process.start()
        theirs.close()
        acknowledged = await asyncio.to_thread(_kill_during_commits, process, ours, chance)
        reader = open_index(tmp_path)
        position = int(await reader.position("main") or 0)
        assert position >= acknowledged, "what was acknowledged is stored"
        assert await count(reader) == position, "the books are those of the position"
        await reader.close()
    await index.apply("main", [make_book("last")], "end")
    assert await count(index) == position + 1


def _kill_during_commits(
    process: "multiprocessing.process.BaseProcess", told: Connection, chance: random.Random
) -> int:
    """Kills the process at a random moment after its first commits; returns the last position that it has sent."""
    last = 0
    for _ in range(chance.choice((1, 1, 2, 4))):
        assert told.poll(60), "no commit is refused"
        last = told.recv()
    # The next commit is under way for about ten milliseconds: the kill comes anywhere in it.
    time.sleep(chance.uniform(0, 0.03))
    process.kill()
    process.join()
    while told.poll():
        try:
            last = told.recv()
        except EOFError:
            break
    told.close()
    return last


async def test_files_of_a_killed_commit_do_not_block_later_ones(tmp_path: Path) -> None:
    """The state after a kill, made step by step: the files of a commit are there, but not its list of segments."""
    killed, whole = open_index(tmp_path / "killed"), open_index(tmp_path / "whole")
    await killed.build("main", iterate_batches([make_book(f"b{number}") for number in range(5)]), "0")
    shutil.copytree(tmp_path / "killed", tmp_path / "whole")
    edit = [make_book("b1", "Editado", version=2)]
    await whole.apply("main", edit, "1")
    await whole.close()
    folder = f"main/index-{SCHEMA_VERSION}-1"
    deletions = list((tmp_path / "whole" / folder).glob("*.del"))
    assert deletions
    for path in (*deletions, tmp_path / "whole" / folder / ".managed.json"):
        shutil.copy(path, tmp_path / "killed" / folder)
    await killed.apply("main", edit, "1")
    assert await killed.position("main") == "1"
    await killed.close()


async def test_a_full_disk_leaves_the_index_behind_and_whole(
    tmp_path: Path, index: TantivyBookIndex, processes: ForkServerContext
) -> None:
    await index.build("main", iterate_batches([make_book("b1")]), "before")
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=fill_disk, args=(tmp_path, theirs), daemon=True)
    process.start()
    assert await asyncio.to_thread(ours.poll, 60)
    assert ours.recv() == ["unavailable", "before 1"] * 3 + ["after 299"]
    process.join()
    assert process.exitcode == 0
    assert await index.position("main") == "after"


async def test_a_commit_is_found_by_other_readers_at_once(tmp_path: Path, index: TantivyBookIndex) -> None:
    await index.build("main", iterate_batches([]), "0")
    reader = open_index(tmp_path)
    for number in range(1, 21):
        await index.apply("main", [make_book(f"b{number}")], str(number))
        assert await count(reader) == number
        assert await reader.position("main") == str(number)
    await index.build("main", iterate_batches([make_book("b1")]), "new")
    assert await count(reader) == 1
    await reader.close()


def _truncate(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        # A file that is cut while it is mapped ends the process that reads it.
        half = path.with_name("half")
        half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        half.replace(path)


def _delete(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no folder": shutil.rmtree,
    "no index": lambda tenant: shutil.rmtree(next(tenant.glob("index-*"))),
    "no pointer": lambda tenant: _delete(tenant, "current"),
    "odd pointer": lambda tenant: (tenant / "current").write_bytes(b"../\xff"),
    "another version": lambda tenant: [
        (tenant / "current").write_text("index-999-1"),
        *(path.rename(tenant / "index-999-1") for path in tenant.glob("index-*")),
    ],
    "no list of segments": lambda tenant: _delete(tenant, "index-*/meta.json"),
    "half a list of segments": lambda tenant: _truncate(tenant, "index-*/meta.json"),
    "half an index": lambda tenant: _truncate(tenant, "index-*/*.idx"),
    "half the terms": lambda tenant: _truncate(tenant, "index-*/*.term"),
    "half the numbers": lambda tenant: _truncate(tenant, "index-*/*.fast"),
    "half the books": lambda tenant: _truncate(tenant, "index-*/*.store"),
    "no segments": lambda tenant: _delete(tenant, "index-*/*.fast"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_index_is_missing_until_it_is_built_again(
    tmp_path: Path, index: TantivyBookIndex, damage: str
) -> None:
    books = [make_book(f"b{number}", f"Libro {number}") for number in range(100)]
    await index.build("main", iterate_batches(books), "before")
    DAMAGES[damage](tmp_path / "main")
    opened = open_index(tmp_path)
    for _ in range(2):
        with pytest.raises(IndexMissing):
            await opened.search("main", BookSearch(text="libro", facets=("language",)))
        assert await opened.position("main") is None
    with pytest.raises((IndexMissing, IndexBehind)):
        await opened.apply("main", books, "p1")
    await opened.build("main", _look_meanwhile(tmp_path, opened, books[:7]), "after")
    assert await count(opened) == 7
    await opened.apply("main", [make_book("b8")], "later")
    assert await opened.position("main") == "later"
    assert await count(opened) == 8
    assert sorted(path.name[:6] for path in (tmp_path / "main").iterdir()) == ["buildi", "curren", "index-"]
    await opened.close()


async def _look_meanwhile(
    root: Path, index: TantivyBookIndex, books: list[IndexedBook]
) -> AsyncIterator[list[IndexedBook]]:
    """Yields books for a build, and tries to read the index in between."""
    yield books
    for reader in (index, open_index(root)):
        with pytest.raises(IndexMissing):
            await count(reader)


async def test_damage_is_reported_once_even_if_it_cannot_be_marked(
    tmp_path: Path, index: TantivyBookIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.build("main", iterate_batches([make_book("b1")]), "0")
    _truncate(tmp_path / "main", "index-*/meta.json")
    monkeypatch.setattr(TenantFolder, "mark_damaged", lambda *_: None)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(IndexMissing):
                await count(index)
    assert [entry["event"] for entry in logs] == ["search_index_damaged"]


async def test_a_deleted_index_is_noticed_by_those_who_have_it_open(tmp_path: Path, index: TantivyBookIndex) -> None:
    await index.build("main", iterate_batches([]), "0")
    await index.apply("main", [make_book("b1")], "1")
    assert await count(index) == 1
    shutil.rmtree(tmp_path / "main")
    with pytest.raises(IndexMissing):
        await index.apply("main", [make_book("b2")], "2")
    with pytest.raises(IndexMissing):
        await count(index)
    assert await index.position("main") is None
    await index.build("main", iterate_batches([make_book("b1")]), "2")
    assert await count(index) == 1


async def test_damage_that_a_reader_finds_is_known_to_the_writer(tmp_path: Path, index: TantivyBookIndex) -> None:
    await index.build("main", iterate_batches([make_book(f"b{number}") for number in range(100)]), "0")
    await index.apply("main", [make_book("b1", version=2)], "1")
    assert await count(index) == 100
    _truncate(tmp_path / "main", "index-*/*.store")
    reader = open_index(tmp_path)
    with pytest.raises(IndexMissing):
        await count(reader)
    assert await index.position("main") is None
    with pytest.raises(IndexMissing):
        await index.apply("main", [], "2")
    await reader.close()


async def test_only_one_process_writes_an_index(tmp_path: Path, index: TantivyBookIndex) -> None:
    await index.build("main", iterate_batches([]), "0")
    await index.apply("main", [make_book("b1")], "1")
    other = open_index(tmp_path)
    with pytest.raises(IndexBehind, match="another process"):
        await other.apply("main", [make_book("b2")], "2")
    await index.close()
    await other.apply("main", [make_book("b2")], "2")
    assert await count(other) == 2
    await other.close()


async def test_only_one_process_builds_an_index(tmp_path: Path, index: TantivyBookIndex) -> None:
    other = open_index(tmp_path)

    async def iterate_books() -> AsyncIterator[list[IndexedBook]]:
        yield [make_book("b1")]
        with pytest.raises(IndexMissing, match="by another process"):
            await other.build("main", iterate_batches([]), "2")
        yield [make_book("b2")]

    await index.build("main", iterate_books(), "1")
    assert await count(index) == 2
    await other.build("main", iterate_batches([make_book("b3")]), "3")
    assert (await count(index), await index.position("main")) == (1, "3")
    await other.close()


async def test_few_writers_and_readers_are_open_at_a_time(tmp_path: Path) -> None:
    def open_one(idle_seconds: float) -> TantivyBookIndex:
        options = TantivyOptions(open_readers=3, open_writers=2, idle_seconds=idle_seconds, commit_seconds=0)
        return TantivyBookIndex(tmp_path, Cursors(b"k" * 32), options)

    async def write(index: TantivyBookIndex, position: str) -> list[str]:
        """Returns the tenants whose index another process does not hold."""
        written = []
        for tenant in tenants:
            with contextlib.suppress(IndexBehind):
                await index.apply(tenant, [make_book(f"{tenant}-{position}")], position)
                written.append(tenant)
        return written

    index, other, tenants = open_one(60), open_one(0.01), [f"t{number}" for number in range(6)]
    for tenant in tenants:
        await index.build(tenant, iterate_batches([]), "0")
    assert await write(index, "1") == tenants
    assert await write(other, "2") == tenants[:4]

    async def all_are_free() -> bool:
        return await write(index, "3") == tenants

    await eventually(all_are_free)
    for tenant in tenants:
        assert await index.position(tenant) == "3"
        assert (await index.search(tenant, BookSearch())).total == (3 if tenant in tenants[:4] else 2)
    await index.close()
    await other.close()


async def test_changes_that_arrive_together_are_committed_together(tmp_path: Path) -> None:
    index = TantivyBookIndex(tmp_path, Cursors(b"k" * 32), TantivyOptions(commit_seconds=0.05))
    await index.build("main", iterate_batches([]), "0")
    await asyncio.gather(*(index.apply("main", [make_book(f"b{number}")], str(number)) for number in range(1, 101)))
    assert await index.position("main") == "100"
    assert await count(index) == 100
    await index.close()
