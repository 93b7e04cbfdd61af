"""What a search server may answer, and what becomes of it."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from shared.domain.errors import IndexBehind, IndexMissing, Unavailable
from shared.search.opensearch.client import SearchServerClient
from shared.search.opensearch.index import OpenSearchBookIndex
from shared.search.port import BookSearch
from shared.wire.cursors import Cursors
from tests.support.books import iterate_batches, make_book
from tests.support.ports import hold_port

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def opened(handler: Handler, seconds: float = 30) -> AsyncIterator[OpenSearchBookIndex]:
    """An index on a server that answers everything with `handler`."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    client = SearchServerClient(f"http://ana:geheim@127.0.0.1:{port}/", seconds)
    index = OpenSearchBookIndex(client, Cursors(b"k" * 32), "books-")
    try:
        yield index
    finally:
        await index.close()
        await runner.cleanup()


def answer(status: int, document: object) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["Authorization"].startswith("Basic ")
        if request.path.startswith("/_alias/"):
            return web.json_response({"books-main.v1.1": {}})
        return web.json_response(document, status=status)

    return handler


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_an_overloaded_server_is_unavailable(status: int) -> None:
    async with opened(answer(status, {})) as index:
        with pytest.raises(Unavailable, match=str(status)):
            await index.search("main", BookSearch())


async def test_a_silent_server_is_unavailable() -> None:
    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with opened(hang_up) as index:
        with pytest.raises(Unavailable, match="does not answer") as caught:
            await index.position("main")
        assert "geheim" not in f"{caught.value}{caught.value.hint}"


async def test_a_closed_port_is_unavailable() -> None:
    class Owner:
        """Holds the port."""

    owner = Owner()
    index = OpenSearchBookIndex(
        SearchServerClient(f"http://127.0.0.1:{hold_port(owner)}", 30), Cursors(b"k" * 32), "books-"
    )
    with pytest.raises(Unavailable, match="does not answer"):
        await index.apply("main", [make_book("b1")], "p1")
    await index.close()


@pytest.mark.parametrize("document", [{"error": {"type": "x", "reason": "read-only"}}, {"error": "read-only"}])
async def test_a_server_that_refuses_leaves_the_index_behind(document: object) -> None:
    async with opened(answer(403, document)) as index:
        with pytest.raises(IndexBehind, match="read-only"):
            await index.apply("main", [make_book("b1")], "p1")


async def test_a_refused_book_leaves_the_index_behind() -> None:
    items = [{"index": {"status": 201}}, {"index": {"status": 403, "error": {"type": "cluster_block_exception"}}}]
    async with opened(answer(200, {"errors": True, "items": items})) as index:
        with pytest.raises(IndexBehind, match="cluster_block_exception"):
            await index.apply("main", [make_book("b1"), make_book("b2")], "p1")


async def test_an_answer_that_is_no_json_is_a_refusal() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=500, text="<html>proxy</html>")

    async with opened(handler) as index:
        with pytest.raises(IndexBehind, match="proxy"):
            await index.search("main", BookSearch())


async def test_no_index_is_missing() -> None:
    async with opened(answer(404, {"error": {"type": "index_not_found_exception"}})) as index:
        with pytest.raises(IndexMissing):
            await index.search("main", BookSearch())


async def test_what_indexes_books_has_more_time_than_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: dict[str, float] = {}
    request = aiohttp.ClientSession.request

    def note(session: aiohttp.ClientSession, method: str, url: str, **members: Any) -> Any:
        seconds[url.rpartition("/")[2]] = members["timeout"].total
        return request(session, method, url, **members)

    monkeypatch.setattr(aiohttp.ClientSession, "request", note)
    found = {"hits": {"hits": [], "total": {"value": 0}}, "items": []}

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response([] if request.path.startswith("/_cat/") else found)

    async with opened(handler, seconds=7) as index:
        await index.build("main", iterate_batches([make_book("b1")]), "p1")
        await index.search("main", BookSearch())
    assert (seconds["_search"], seconds["_bulk?refresh=true"], seconds["_refresh"]) == (7, 84, 84)
