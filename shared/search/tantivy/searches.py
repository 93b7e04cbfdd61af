"""Runs queries on one commit of an index. All functions block."""

from collections.abc import Iterator, Sequence
from typing import Any

import tantivy
from tantivy import Order, Query

from shared.search.facets import (
    NAME_FACETS,
    RANGE_FACETS,
    FacetGroup,
    group_facets,
    list_bands,
    make_facets,
    make_ranges,
    sort_values,
)
from shared.search.fields import KEY_FIELDS
from shared.search.pages import Pager
from shared.search.port import (
    MAX_DEPTH,
    BookSearch,
    FacetDimension,
    FacetRange,
    Facets,
    FacetValue,
    Found,
    Hit,
    Suggestion,
)
from shared.search.queries import (
    Condition,
    QueryText,
    choose_order,
    choose_similar_words,
    list_conditions,
    may_correct,
    parse_text,
)
from shared.search.suggestions import make_suggestions
from shared.search.tantivy.queries import QueryBuilder
from shared.search.tantivy.schema import read_stored

_SIMILAR_WORDS = 10
"""Rare words that decide which books are similar; frequent ones cost time and say little."""

_AGGREGATED = {"author": "author_name"}


def read_position(searcher: tantivy.Searcher, queries: QueryBuilder) -> str | None:
    """Returns the position in the change feed that an index has."""
    hits = searcher.search(queries.match_position(), 1, count=False).hits
    return read_stored(searcher.doc(hits[0][1])).title if hits else None


class BookSearcher:
    """Searches one commit of an index."""

    def __init__(self, searcher: tantivy.Searcher, queries: QueryBuilder) -> None:
        self._searcher = searcher
        self._queries = queries

    def find_books(self, query: BookSearch, pager: Pager) -> Found:
        """Returns a page of results."""
        conditions = list_conditions(query.filters)
        text = None if query.text is None else parse_text(query.text)
        scored = choose_order(query)[0] == "relevance"
        exact = self._queries.narrow(self._match_text(text, fuzzy=False, scored=scored), conditions)
        hits, total = self._fetch_page(exact, query, pager)
        exact_total = total
        corrects = text is not None and may_correct(query, text, exact_total)
        if corrects:
            fuzzy = self._queries.narrow(self._match_text(text, fuzzy=True, scored=scored), conditions)
            if scored:
                others = self._queries.exclude(fuzzy, self._match_text(text, fuzzy=False, scored=False))
                hits, total = self._append_misspelt(hits, exact_total, others, pager)
            else:
                hits, total = self._fetch_page(fuzzy, query, pager)
        facets = None
        if query.facets:
            facets = self._count_facets(self._match_text(text, fuzzy=corrects, scored=False), conditions, query)
        return pager.make_page(hits, total, corrected=total > exact_total, facets=facets)

    def complete_text(self, words: Sequence[str], limit: int) -> list[Suggestion]:
        """Returns completions of the words; if there are none, those of similar words."""
        for fuzzy in (False, True):
            query = self._queries.match_typed(words, fuzzy=fuzzy)
            found = self._searcher.search(query, limit, count=False, order_by_field=KEY_FIELDS["popularity"])
            if found.hits:
                books = [read_stored(self._searcher.doc(address)) for _, address in found.hits]
                return make_suggestions(books, words, limit)
        return []

    def find_similar(self, text: str, limit: int) -> list[str]:
        """Returns the ids of books with the same rare words."""
        counted = [(self._searcher.doc_freq("text_light", word), word) for word in choose_similar_words(text)]
        rare = [word for count, word in sorted(counted) if count][:_SIMILAR_WORDS]
        if not rare:
            return []
        found = self._searcher.search(self._queries.match_any(rare), limit, count=False, weight_by_field="weight")
        return [hit.book for hit in self._read_hits(found)]

    def check_health(self) -> None:
        """Reads every kind of file of the index. Raises what tantivy raises if one cannot be read."""
        everything = self._queries.match_everything()
        for field in KEY_FIELDS.values():
            self._read_entries(self._searcher.search(everything, 3, order_by_field=field).hits)
        self._count_facets(everything, [], BookSearch(facets=(*NAME_FACETS, *RANGE_FACETS)))
        read_position(self._searcher, self._queries)
        self.find_similar("a", 1)

    def _match_text(self, text: QueryText | None, *, fuzzy: bool, scored: bool) -> Query:
        if text is None:
            return self._queries.match_everything()
        return self._queries.match_text(text, fuzzy=fuzzy, scored=scored)

    def _fetch_page(self, matched: Query, query: BookSearch, pager: Pager) -> tuple[list[Hit], int]:
        """Returns the hits of a window, one more than the page has, and how many books match."""
        sort, descending = choose_order(query)
        window, wanted = pager.window, pager.hits_wanted
        if sort == "relevance":
            found = self._searcher.search(matched, wanted, offset=window.offset, weight_by_field="weight")
            return self._read_hits(found), _read_total(found)
        field = KEY_FIELDS[sort]
        descending ^= window.backward
        order = Order.Desc if descending else Order.Asc
        if window.boundary is None:
            found = self._searcher.search(matched, wanted, order_by_field=field, order=order, offset=window.offset)
            return self._read_hits(found), _read_total(found)
        behind = self._queries.continue_behind(matched, field, window.boundary, descending=descending)
        total = _read_total(self._searcher.search(matched, 1, order_by_field=field))
        if isinstance(window.boundary.key, str):
            return self._skip_titles(behind, window.boundary.key, wanted, order), total
        found = self._searcher.search(behind, wanted, count=False, order_by_field=field, order=order)
        return self._read_hits(found), total

    def _append_misspelt(
        self, exact_hits: list[Hit], exact_total: int, misspelt: Query, pager: Pager
    ) -> tuple[list[Hit], int]:
        """Returns the precise hits of a window and those with misspelt words behind them, and how many there are."""
        missing = max(pager.hits_wanted - len(exact_hits), 1)
        skipped = max(pager.window.offset - exact_total, 0)
        found = self._searcher.search(misspelt, missing, offset=skipped, weight_by_field="weight")
        return [*exact_hits, *self._read_hits(found)][: pager.hits_wanted], exact_total + (_read_total(found))

    def _skip_titles(self, behind: Query, key: str, wanted: int, order: Order) -> list[Hit]:
        """Returns the hits behind a title, out of those that begin like it or are behind it."""
        fetched = 2 * wanted
        while True:
            found = self._searcher.search(behind, fetched, count=False, order_by_field="by_title", order=order)
            ascends = order == Order.Asc
            passed = [entry for entry in found.hits if (entry[0] > key if ascends else entry[0] < key)]
            if len(passed) >= wanted or len(found.hits) < fetched or fetched >= MAX_DEPTH:
                return self._read_entries(passed[:wanted])
            fetched = min(4 * fetched, MAX_DEPTH)

    def _count_facets(self, matched: Query, conditions: Sequence[Condition], query: BookSearch) -> Facets:
        names: dict[FacetDimension, tuple[FacetValue, ...]] = {}
        ranges: dict[FacetDimension, tuple[FacetRange, ...]] = {}
        bands = {dimension: list_bands(dimension, query.price_bands) for dimension in RANGE_FACETS}
        for group in group_facets(query.facets, conditions):
            result = self._aggregate(matched, group, bands, query.facet_values)
            for dimension in group.dimensions:
                buckets = result[dimension]["buckets"]
                if dimension in NAME_FACETS:
                    names[dimension] = sort_values(_read_counts(buckets), query.facet_values)
                else:
                    counts = {bucket["key"]: bucket["doc_count"] for bucket in buckets}
                    found = [counts.get(str(index), 0) for index in range(len(bands[dimension]))]
                    ranges[dimension] = make_ranges(dimension, bands[dimension], found)
        return make_facets(names, ranges)

    def _aggregate(
        self,
        matched: Query,
        group: FacetGroup,
        bands: dict[FacetDimension, list[tuple[int | None, int | None]]],
        names: int,
    ) -> dict[str, Any]:
        wanted: dict[str, Any] = {}
        for dimension in group.dimensions:
            if dimension in NAME_FACETS:
                field = _AGGREGATED.get(dimension, dimension)
                wanted[dimension] = {"terms": {"field": field, "size": names}}
            else:
                ranges = [_make_band(index, *band) for index, band in enumerate(bands[dimension])]
                wanted[dimension] = {"range": {"field": dimension, "ranges": ranges}}
        found: dict[str, Any] = self._searcher.aggregate(self._queries.narrow(matched, group.conditions), wanted)
        return found

    def _read_hits(self, found: tantivy.SearchResult) -> list[Hit]:
        return self._read_entries(found.hits)

    def _read_entries(self, entries: Sequence[tuple[Any, tantivy.DocAddress]]) -> list[Hit]:
        return [Hit(read_stored(self._searcher.doc(address)).book, key) for key, address in entries]


def _read_counts(buckets: Sequence[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    return ((bucket["key"], bucket["doc_count"]) for bucket in buckets)


def _make_band(index: int, low: int | None, high: int | None) -> dict[str, Any]:
    bounds = {"from": low, "to": high}
    return {"key": str(index), **{name: float(bound) for name, bound in bounds.items() if bound is not None}}


def _read_total(found: tantivy.SearchResult) -> int:
    total: int = found.count  # type: ignore[attr-defined] # its stub lacks this member
    return total
