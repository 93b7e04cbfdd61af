"""The port of the search of books on OpenSearch or Elasticsearch, for catalogues that one machine cannot serve.

An index is named PREFIX TENANT `.v` VERSION `.` NUMBER, for example `comanda-books-main.v1.3`; its alias is the same
name without the number. An alias of another version of the fields counts as missing, so programs of two versions can
run beside each other. The position in the feed is a document beside the index, written after its changes: a process
that is killed in between applies some changes again, which have no effect, as the server compares versions.
"""

import contextlib
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from shared.domain.errors import IndexBehind, IndexMissing, Unavailable
from shared.domain.tenants import check_tenant_name
from shared.search.facets import NAME_FACETS, group_facets, list_bands, make_facets, make_ranges, sort_values
from shared.search.fields import SCHEMA_VERSION
from shared.search.opensearch.bodies import (
    Body,
    exclude,
    make_completion,
    make_counts,
    make_search,
    make_similar,
    match_text,
)
from shared.search.opensearch.client import Reply, SearchServerClient, SearchServerFailure
from shared.search.opensearch.mapping import make_index_body, make_source
from shared.search.pages import Pager
from shared.search.port import (
    BookSearch,
    FacetDimension,
    FacetRange,
    Facets,
    FacetValue,
    Found,
    Hit,
    IndexChange,
    IndexedBook,
    RemovedBook,
    Suggestion,
)
from shared.search.queries import (
    MAX_SIMILAR,
    MAX_SUGGESTIONS,
    check_limit,
    choose_order,
    choose_similar_words,
    choose_suggestion_words,
    list_conditions,
    may_correct,
    parse_text,
)
from shared.search.suggestions import make_suggestions
from shared.wire.cursors import Cursors

_BULK_BOOKS = 500
_EDITS = 100
"""So few changes are edits, which are found at once; more are found after the refresh interval, as it costs less."""


class _FoundBook(NamedTuple):
    book: str
    title: str
    authors: Sequence[str]


class OpenSearchBookIndex:
    """Keeps one index for each tenant on a server; any number of processes can search and change it."""

    def __init__(self, client: SearchServerClient, cursors: Cursors, prefix: str) -> None:
        self._client = client
        self._cursors = cursors
        self._prefix = prefix

    async def apply(self, tenant: str, changes: Sequence[IndexChange], position: str) -> None:
        index = await self._find_index(tenant)
        with _translated(tenant):
            await self._send_changes(tenant, index, changes)
            await self._put_position(index, position)

    async def build(self, tenant: str, books: AsyncIterable[Sequence[IndexedBook]], position: str) -> None:
        alias = self._name_alias(tenant)
        with _translated(tenant):
            known = await self._list_indexes(tenant)
            numbers = [int(name.rpartition(".")[2]) for name in known if name.rpartition(".")[2].isdecimal()]
            made = f"{alias}.{max(numbers, default=0) + 1}"
            await self._client.send_request("PUT", f"/{made}", make_index_body())
        try:
            async for batch in books:
                with _translated(tenant):
                    await self._send_changes(tenant, made, batch)
            with _translated(tenant):
                await self._client.send_request("POST", f"/{made}/_refresh", indexes=True)
                await self._put_position(made, position)
                await self._move_alias(alias, made)
        except BaseException:
            with contextlib.suppress(SearchServerFailure, Unavailable):
                await self._delete_indexes([made])
            raise
        with _translated(tenant):
            await self._delete_indexes(known)

    async def position(self, tenant: str) -> str | None:
        try:
            index = await self._find_index(tenant)
        except IndexMissing:
            return None
        path = f"/{self._positions}/_doc/{index}"
        reply = await self._client.send_request("GET", path, missing=True)
        return str(reply.document["_source"]["position"]) if reply.status == 200 else None

    async def search(self, tenant: str, query: BookSearch) -> Found:
        pager = Pager(self._cursors, tenant, query, sorts_ids=True)
        conditions = list_conditions(query.filters)
        text = None if query.text is None else parse_text(query.text)
        exact, window = match_text(text, fuzzy=False), pager.window
        matched = exact
        hits, total = await self._find_hits(tenant, make_search(query, window, exact, conditions))
        exact_total = total
        if text is not None and may_correct(query, text, exact_total):
            matched = match_text(text, fuzzy=True)
            if choose_order(query)[0] == "relevance":
                window = window._replace(offset=max(window.offset - exact_total, 0))
                body = make_search(query, window, exclude(matched, exact), conditions)
                misspelt, count = await self._find_hits(tenant, body)
                hits, total = [*hits, *misspelt][: pager.hits_wanted], exact_total + count
            else:
                hits, total = await self._find_hits(tenant, make_search(query, window, matched, conditions))
        facets = (
            await self._count_facets(tenant, query, make_counts(query, matched, conditions)) if query.facets else None
        )
        return pager.make_page(hits, total, corrected=total > exact_total, facets=facets)

    async def suggest(self, tenant: str, text: str, limit: int) -> list[Suggestion]:
        words = choose_suggestion_words(text)
        check_limit(limit, MAX_SUGGESTIONS)
        if not words:
            await self._find_index(tenant)
            return []
        for fuzzy in (False, True):
            reply = await self._search(tenant, make_completion(words, limit, fuzzy=fuzzy))
            books = [_read_book(hit) for hit in reply.document["hits"]["hits"]]
            if books:
                return make_suggestions(books, words, limit)
        return []

    async def similar(self, tenant: str, text: str, limit: int) -> list[str]:
        words = choose_similar_words(text)
        check_limit(limit, MAX_SIMILAR)
        if not words:
            await self._find_index(tenant)
            return []
        reply = await self._search(tenant, make_similar(words, limit))
        return [str(hit["_id"]) for hit in reply.document["hits"]["hits"]]

    async def drop(self, tenant: str) -> None:
        with _translated(tenant):
            await self._delete_indexes(await self._list_indexes(tenant))

    async def close(self) -> None:
        await self._client.close()

    @property
    def _positions(self) -> str:
        # No tenant has an underscore in its name.
        return f"{self._prefix}_positions"

    def _name_alias(self, tenant: str) -> str:
        return f"{self._prefix}{check_tenant_name(tenant)}.v{SCHEMA_VERSION}"

    async def _find_index(self, tenant: str) -> str:
        """Returns the index that answers for a tenant. Raises IndexMissing if there is none."""
        with _translated(tenant):
            reply = await self._client.send_request("GET", f"/_alias/{self._name_alias(tenant)}", missing=True)
        if reply.status == 404:
            raise _missing(tenant)
        return str(next(iter(reply.document)))

    async def _list_indexes(self, tenant: str) -> list[str]:
        """Returns the indexes of a tenant, those of other versions and unfinished ones too."""
        path = f"/_cat/indices/{self._prefix}{check_tenant_name(tenant)}.v*?format=json&h=index"
        reply = await self._client.send_request("GET", path, missing=True)
        return [str(row["index"]) for row in reply.document] if reply.status == 200 else []

    async def _delete_indexes(self, names: Iterable[str]) -> None:
        for name in names:
            await self._client.send_request("DELETE", f"/{name}", missing=True)
            await self._client.send_request("DELETE", f"/{self._positions}/_doc/{name}", missing=True)

    async def _move_alias(self, alias: str, index: str) -> None:
        """Lets an alias lead to one index, at once for all searches."""
        reply = await self._client.send_request("GET", f"/_alias/{alias}", missing=True)
        former = list(reply.document) if reply.status == 200 else []
        actions: list[Body] = [{"remove": {"index": name, "alias": alias}} for name in former]
        await self._client.send_request(
            "POST", "/_aliases", {"actions": [*actions, {"add": {"index": index, "alias": alias}}]}
        )

    async def _put_position(self, index: str, position: str) -> None:
        await self._client.send_request("PUT", f"/{self._positions}/_doc/{index}", {"position": position})

    async def _send_changes(self, tenant: str, index: str, changes: Sequence[IndexChange]) -> None:
        """Sends changes that the server takes if they are newer than what it has. Raises IndexBehind."""
        refresh = "?refresh=true" if len(changes) <= _EDITS else ""
        for start in range(0, len(changes), _BULK_BOOKS):
            lines = [line for change in changes[start : start + _BULK_BOOKS] for line in _make_lines(index, change)]
            reply = await self._client.send_lines(f"/_bulk{refresh}", lines)
            for item in reply.document["items"]:
                outcome = next(iter(item.values()))
                # A removed book may be absent, and an older version is refused.
                if outcome["status"] >= 400 and outcome["status"] not in {404, 409}:
                    raise _behind(tenant, str(outcome["error"].get("type")))

    async def _search(self, tenant: str, body: Body) -> Reply:
        with _translated(tenant):
            path = f"/{self._name_alias(tenant)}/_search"
            reply = await self._client.send_request("POST", path, body, missing=True)
        if reply.status == 404:
            raise _missing(tenant)
        return reply

    async def _find_hits(self, tenant: str, body: Body) -> tuple[list[Hit], int]:
        found = (await self._search(tenant, body)).document["hits"]
        return [Hit(str(hit["_id"]), hit["sort"][0]) for hit in found["hits"]], int(found["total"]["value"])

    async def _count_facets(self, tenant: str, query: BookSearch, body: Body) -> Facets:
        counted = (await self._search(tenant, body)).document["aggregations"]
        names: dict[FacetDimension, tuple[FacetValue, ...]] = {}
        ranges: dict[FacetDimension, tuple[FacetRange, ...]] = {}
        for number, group in enumerate(group_facets(query.facets, list_conditions(query.filters))):
            for dimension in group.dimensions:
                buckets = counted[str(number)][dimension]["buckets"]
                if dimension in NAME_FACETS:
                    names[dimension] = sort_values(_read_counts(buckets), query.facet_values)
                else:
                    counts = {bucket["key"]: int(bucket["doc_count"]) for bucket in buckets}
                    bands = list_bands(dimension, query.price_bands)
                    found = [counts.get(str(index), 0) for index in range(len(bands))]
                    ranges[dimension] = make_ranges(dimension, bands, found)
        return make_facets(names, ranges)


def _read_counts(buckets: Sequence[Body]) -> Iterator[tuple[str, int]]:
    return ((bucket["key"], bucket["doc_count"]) for bucket in buckets)


def _make_lines(index: str, change: IndexChange) -> list[Body]:
    action = {"_index": index, "_id": change.book, "version": change.version, "version_type": "external"}
    if isinstance(change, RemovedBook) or not change.active:
        return [{"delete": action}]
    return [{"index": action}, make_source(change)]


def _read_book(hit: dict[str, Any]) -> _FoundBook:
    source = hit["_source"]
    return _FoundBook(str(hit["_id"]), source["shown_title"], source.get("author_name") or ())


@contextlib.contextmanager
def _translated(tenant: str) -> Iterator[None]:
    """Raises IndexBehind for what the server refuses: a disk that is full makes its indexes read-only."""
    try:
        yield
    except SearchServerFailure as failure:
        raise _behind(tenant, str(failure)) from failure


def _behind(tenant: str, reason: str) -> IndexBehind:
    return IndexBehind(
        f"the search server refuses a request for the index of {tenant}: {reason}",
        hint="see the log of the search server; changes are kept and sent again",
    )


def _missing(tenant: str) -> IndexMissing:
    return IndexMissing(
        f"the search server has no index of {tenant}", hint="it is built by itself; try again in some minutes"
    )
