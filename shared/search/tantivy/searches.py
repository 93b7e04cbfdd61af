"""Runs queries on one commit of an index. All functions block."""

from collections.abc import Sequence
from typing import Any

import tantivy
from tantivy import Order, Query

from shared.search.facets import NAME_FACETS, RANGE_FACETS
from shared.search.fields import KEY_FIELDS
from shared.search.pages import Pager
from shared.search.port import MAX_DEPTH, BookSearch, Facets, Found, Hit, Suggestion
from shared.search.queries import (
    Condition,
    QueryText,
    QueryWord,
    choose_order,
    choose_similar_words,
    list_conditions,
    may_correct,
    parse_text,
)
from shared.search.suggestions import make_suggestions
from shared.search.tantivy.counter import FacetCounter, count_books
from shared.search.tantivy.queries import QueryBuilder
from shared.search.tantivy.schema import read_stored

_SIMILAR_WORDS = 10
"""Rare words that decide which books are similar; frequent ones cost time and say little."""

_FREQUENT_BOOKS = 1000
_MANY_SHARE = 10
_CERTAIN_SHARE = 10
"""A word that a tenth of all books have, and at least 1,000, is spelt right: looking for similar ones takes long."""
_COMMON_SHARE = 50
"""A word that a fiftieth of all books have, and at least 1,000, does not make books similar."""


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
        counter = FacetCounter(query, conditions) if query.facets else None
        text = None if query.text is None else parse_text(query.text)
        matched = self._queries.match_everything() if text is None else self._queries.match_text(text)
        facets, total = self._count(matched, conditions, counter, text)
        exact_total, misspelt = total, frozenset[QueryWord]()
        if text is not None and may_correct(query, text, total):
            misspelt = self._find_misspelt(text)
            matched = self._queries.match_text(text, misspelt=misspelt)
            facets, total = self._count(matched, conditions, counter, text)
        if text is not None and choose_order(query)[0] == "relevance":
            hits = self._rank_books(text, misspelt, conditions, exact_total, pager) if total else []
        else:
            hits = self._fetch_sorted(self._queries.narrow(matched, conditions), query, pager)
        return pager.make_page(hits, total, corrected=total > exact_total, facets=facets)

    def complete_text(self, words: Sequence[str], limit: int) -> list[Suggestion]:
        """Returns completions of the words; if there are none, those of similar words."""
        for fuzzy in (False, True):
            hits: list[tuple[Any, tantivy.DocAddress]] = []
            for query in self._queries.match_typed(words, fuzzy=fuzzy):
                found = self._searcher.search(query, limit, count=False, order_by_field=KEY_FIELDS["popularity"])
                hits = found.hits
                if len(hits) == limit:
                    break
            if hits:
                books = [read_stored(self._searcher.doc(address)) for _, address in hits]
                return make_suggestions(books, words, limit)
        return []

    def find_similar(self, text: str, limit: int) -> list[str]:
        """Returns the ids of books with the same rare words."""
        counted = [(self._searcher.doc_freq("text_light", word), word) for word in choose_similar_words(text)]
        known = sorted(pair for pair in counted if pair[0])
        common = self._count_share(_COMMON_SHARE)
        rare = [word for count, word in known if count < common or word == known[0][1]][:_SIMILAR_WORDS]
        if not rare:
            return []
        found = self._searcher.search(self._queries.match_any(rare), limit, count=False, weight_by_field="weight")
        return [hit.book for hit in self._read_entries(found.hits)]

    def check_health(self) -> None:
        """Reads every kind of file of the index. Raises what tantivy raises if one cannot be read."""
        everything = self._queries.match_everything()
        for field in KEY_FIELDS.values():
            self._read_entries(self._searcher.search(everything, 3, order_by_field=field).hits)
        counter = FacetCounter(BookSearch(facets=(*NAME_FACETS, *RANGE_FACETS)), [])
        counter.count(self._searcher, self._queries, everything, many=True)
        read_position(self._searcher, self._queries)
        self.find_similar("a", 1)

    def _count(
        self, matched: Query, conditions: Sequence[Condition], counter: FacetCounter | None, text: QueryText | None
    ) -> tuple[Facets | None, int]:
        """Returns the facets, if they are wanted, and the number of the matched books that meet all conditions."""
        if counter is not None:
            many = text is None or self._has_frequent_words(text)
            return counter.count(self._searcher, self._queries, matched, many=many)
        if text is None and not conditions:
            # All documents but that of the position.
            return None, self._searcher.num_docs - 1
        return None, count_books(self._searcher, self._queries.narrow(matched, conditions))

    def _has_frequent_words(self, text: QueryText) -> bool:
        """Whether a tenth of all books or more have each word."""
        least = self._searcher.num_docs // _MANY_SHARE
        return bool(text.words) and all(self._count_with(word) > least for word in text.words)

    def _count_with(self, word: QueryWord) -> int:
        """Returns the number of books with a word, among them those that were replaced lately."""
        return self._searcher.doc_freq("text_light", word.light)

    def _find_misspelt(self, text: QueryText) -> frozenset[QueryWord]:
        """Returns the words that may be misspelt: no number, no short word, and no word that many books have."""
        certain = self._count_share(_CERTAIN_SHARE)
        return frozenset(
            word for word in text.words if word.distance and self._searcher.doc_freq("text_light", word.light) < certain
        )

    def _count_share(self, share: int) -> int:
        return max(_FREQUENT_BOOKS, self._searcher.num_docs // share)

    def _rank_books(
        self,
        text: QueryText,
        misspelt: frozenset[QueryWord],
        conditions: Sequence[Condition],
        exact_total: int,
        pager: Pager,
    ) -> list[Hit]:
        """Returns the hits of a window, one more than the page has, by relevance.

        Books whose titles and authors have all words come first, then those that have a word elsewhere, then those
        with a word that only resembles one. Each part is read only if the window reaches it: a frequent word is in the
        text of most books, and in few titles.
        """
        queries, offset, wanted = self._queries, pager.window.offset, pager.hits_wanted
        named = queries.narrow(queries.match_named(text), conditions)
        hits = self._fetch_ranked(named, wanted, offset)
        if len(hits) == wanted:
            return hits
        named_total = offset + len(hits) if hits or not offset else count_books(self._searcher, named)
        if named_total < exact_total:
            # A single word is in none of the other titles, so no title adds to the score.
            others = queries.exclude(queries.match_text(text, scored=len(text.words) > 1), queries.match_named(text))
            skipped = max(offset - named_total, 0)
            hits += self._fetch_ranked(queries.narrow(others, conditions), wanted - len(hits), skipped)
        if misspelt and len(hits) < wanted:
            alike = queries.match_text(text, misspelt=misspelt, scored=True)
            others = queries.narrow(queries.exclude(alike, queries.match_text(text)), conditions)
            hits += self._fetch_ranked(others, wanted - len(hits), max(offset - exact_total, 0))
        return hits

    def _fetch_ranked(self, matched: Query, wanted: int, offset: int) -> list[Hit]:
        found = self._searcher.search(matched, wanted, offset=offset, count=False, weight_by_field="weight")
        return self._read_entries(found.hits)

    def _fetch_sorted(self, matched: Query, query: BookSearch, pager: Pager) -> list[Hit]:
        """Returns the hits of a window, one more than the page has, in another order."""
        sort, descending = choose_order(query)
        window, wanted = pager.window, pager.hits_wanted
        field = KEY_FIELDS[sort]
        descending ^= window.backward
        order = Order.Desc if descending else Order.Asc
        if window.boundary is not None:
            matched = self._queries.continue_behind(matched, field, window.boundary, descending=descending)
            if isinstance(window.boundary.key, str):
                return self._skip_titles(matched, window.boundary.key, wanted, order)
        found = self._searcher.search(
            matched, wanted, count=False, order_by_field=field, order=order, offset=window.offset
        )
        return self._read_entries(found.hits)

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

    def _read_entries(self, entries: Sequence[tuple[Any, tantivy.DocAddress]]) -> list[Hit]:
        return [Hit(read_stored(self._searcher.doc(address)).book, key) for key, address in entries]
