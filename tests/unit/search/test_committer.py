"""Groups of changes that are committed together."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from shared.domain.errors import IndexBehind
from shared.search.port import IndexChange
from shared.search.tantivy.committer import GroupCommitter
from shared.search.tantivy.threads import BoundedThreads
from tests.support.books import make_book


class RecordingWriter:
    """A writer that notes what it commits, and fails when it is told to."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, str]] = []
        self.fails = False
        self.closed = False

    def commit_changes(self, changes: Sequence[IndexChange], position: str) -> None:
        if self.fails:
            raise ValueError("the disk is full")
        self.commits.append((len(changes), position))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def writer() -> RecordingWriter:
    return RecordingWriter()


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    made = BoundedThreads("test", 1, 10)
    yield made
    made.close()


def open_committer(writer: RecordingWriter, threads: BoundedThreads, seconds: float) -> GroupCommitter:
    return GroupCommitter(IndexBehind("behind"), writer, threads, seconds, None)  # type: ignore[arg-type]


async def test_the_first_changes_are_committed_at_once_and_later_ones_together(
    writer: RecordingWriter, threads: BoundedThreads
) -> None:
    committer = open_committer(writer, threads, 0.5)
    await committer.add_changes([make_book("b0")], "p0")
    waiting = []
    for number in range(1, 10):
        waiting.append(committer.add_changes([make_book(f"b{number}")], f"p{number}"))
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert writer.commits == [(1, "p0"), (9, "p9")]


async def test_many_changes_do_not_wait_for_more(writer: RecordingWriter, threads: BoundedThreads) -> None:
    committer = open_committer(writer, threads, 3600)
    await committer.add_changes([make_book("b0")], "p0")
    await committer.add_changes([make_book(f"b{number}") for number in range(500)], "p1")
    assert writer.commits == [(1, "p0"), (500, "p1")]


async def test_after_a_failure_nothing_is_committed_any_more(writer: RecordingWriter, threads: BoundedThreads) -> None:
    committer = open_committer(writer, threads, 0)
    writer.fails = True
    with pytest.raises(IndexBehind):
        await committer.add_changes([make_book("b0")], "p0")
    writer.fails = False
    with pytest.raises(IndexBehind):
        await committer.add_changes([make_book("b1")], "p1")
    assert committer.failed
    assert writer.commits == []


async def test_a_caller_that_has_gone_does_not_stop_the_others(
    writer: RecordingWriter, threads: BoundedThreads
) -> None:
    committer = open_committer(writer, threads, 0)
    gone, waiting = (committer.add_changes([make_book(name)], name) for name in ("b0", "b1"))
    gone.cancel()
    await waiting
    assert writer.commits == [(2, "b1")]


async def test_closing_commits_what_has_arrived(writer: RecordingWriter, threads: BoundedThreads) -> None:
    committer = open_committer(writer, threads, 0)
    done = committer.add_changes([make_book("b0")], "p0")
    await committer.close()
    assert done.done()
    assert writer.commits == [(1, "p0")]
    assert writer.closed
