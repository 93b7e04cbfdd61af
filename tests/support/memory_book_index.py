"""A fake of the search of books: the port on plain dictionaries, which compares every book with every query.

It passes the same contract suite as tantivy and OpenSearch (tests/contract/test_book_index.py). It keeps nothing beyond
the process, so no server can be configured with it.
"""

from collections import Counter
from collections.abc import AsyncIterable, Callable, Sequence
from typing import NamedTuple

from shared.domain.errors import IndexMissing
from shared.domain.tenants import check_tenant_name
from shared.search.facets import (
    NAME_FACETS,
    RANGE_FACETS,
    group_facets,
    list_bands,
    make_facets,
    make_ranges,
    sort_values,
)
from shared.search.fields import KEY_FIELDS, BookFields, make_fields
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
    Condition,
    NameCondition,
    QueryText,
    QueryWord,
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


class _Entry(NamedTuple):
    book: IndexedBook
    fields: BookFields
    title: frozenset[str]
    author: frozenset[str]
    title_light: frozenset[str]
    text_light: frozenset[str]


class _Index(NamedTuple):
    entries: dict[str, _Entry]
    position: str


class MemoryBookIndex:
    """The port, without files and without a server."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors
        self._indexes: dict[str, _Index] = {}

    async def apply(self, tenant: str, changes: Sequence[IndexChange], position: str) -> None:
        entries = self._get_index(tenant).entries
        for change in changes:
            known = entries.get(change.book)
            if known is not None and known.book.version >= change.version:
                continue
            entries.pop(change.book, None)
            if not isinstance(change, RemovedBook) and change.active:
                entries[change.book] = _make_entry(change)
        self._indexes[tenant] = _Index(entries, position)

    async def build(self, tenant: str, books: AsyncIterable[Sequence[IndexedBook]], position: str) -> None:
        check_tenant_name(tenant)
        entries = {book.book: _make_entry(book) async for batch in books for book in batch if book.active}
        self._indexes[tenant] = _Index(entries, position)

    async def position(self, tenant: str) -> str | None:
        check_tenant_name(tenant)
        index = self._indexes.get(tenant)
        return None if index is None else index.position

    async def search(self, tenant: str, query: BookSearch) -> Found:
        pager = Pager(self._cursors, tenant, query, sorts_ids=True)
        entries = list(self._get_index(tenant).entries.values())
        conditions = list_conditions(query.filters)
        text = None if query.text is None else parse_text(query.text)
        exact = [entry for entry in entries if _has_text(entry, text, fuzzy=False)]
        found = [entry for entry in exact if _meets(entry, conditions)]
        matched, ranks = exact, {entry.book.book: 1 for entry in exact}
        exact_total = total = len(found)
        if text is not None and may_correct(query, text, exact_total):
            matched = [entry for entry in entries if _has_text(entry, text, fuzzy=True)]
            found = [entry for entry in matched if _meets(entry, conditions)]
            total = len(found)
        facets = _count_facets(matched, conditions, query) if query.facets else None
        hits = _sort(found, query, lambda entry: ranks.get(entry.book.book, 0) + _score(entry, text))
        shown = _cut(hits, query, pager)
        return pager.make_page(shown, total, corrected=total > exact_total, facets=facets)

    async def suggest(self, tenant: str, text: str, limit: int) -> list[Suggestion]:
        entries = self._get_index(tenant).entries.values()
        check_limit(limit, MAX_SUGGESTIONS)
        words = choose_suggestion_words(text)
        if not words:
            return []
        *complete, last = words
        found = [
            entry
            for entry in entries
            if all(word in entry.title or word in entry.author for word in complete)
            and any(word.startswith(last) for word in entry.title | entry.author)
        ]
        if not found:
            found = [entry for entry in entries if all(_is_close_typed(entry, word) for word in words)]
        found.sort(key=lambda entry: entry.fields.keys["by_popularity"], reverse=True)
        return make_suggestions([entry.book for entry in found[:limit]], words, limit)

    async def similar(self, tenant: str, text: str, limit: int) -> list[str]:
        entries = self._get_index(tenant).entries.values()
        check_limit(limit, MAX_SIMILAR)
        words = choose_similar_words(text)
        frequency = Counter(word for entry in entries for word in entry.title_light | entry.text_light)

        def weigh(entry: _Entry) -> float:
            return sum(1 / frequency[word] for word in words if word in entry.title_light | entry.text_light)

        ranked = sorted(entries, key=weigh, reverse=True)
        return [entry.book.book for entry in ranked if weigh(entry)][:limit]

    async def drop(self, tenant: str) -> None:
        self._indexes.pop(check_tenant_name(tenant), None)

    async def close(self) -> None:
        """Nothing is open."""

    def _get_index(self, tenant: str) -> _Index:
        index = self._indexes.get(check_tenant_name(tenant))
        if index is None:
            raise IndexMissing(f"the search index of {tenant} has not been built")
        return index


def _make_entry(book: IndexedBook) -> _Entry:
    fields = make_fields(book)
    words = (fields.title, fields.author, fields.title_light, fields.text_light)
    return _Entry(book, fields, *(frozenset(text.split()) for text in words))


def _has_text(entry: _Entry, text: QueryText | None, *, fuzzy: bool) -> bool:
    if text is None:
        return True
    if text.isbn is not None:
        return entry.book.isbn == text.isbn
    return bool(text.words) and all(_has_word(entry, word, fuzzy=fuzzy) for word in text.words)


def _has_word(entry: _Entry, word: QueryWord, *, fuzzy: bool) -> bool:
    if word.folded in entry.title | entry.author or word.light in entry.title_light | entry.text_light:
        return True
    close = fuzzy and word.distance > 0
    return close and any(_distance(word.folded, other) <= word.distance for other in entry.title | entry.author)


def _is_close_typed(entry: _Entry, word: str) -> bool:
    return any(_distance(word, other[: len(word)]) <= 1 for other in entry.title | entry.author)


def _score(entry: _Entry, text: QueryText | None) -> float:
    """Returns less than 1: more for words in the title, and for popular books; most if it and the authors have all."""
    words = () if text is None else text.words
    named = all(word.folded in entry.title | entry.author or word.light in entry.title_light for word in words)
    in_title = sum(word.folded in entry.title for word in words) / (len(words) or 1)
    return 0.5 * named + 0.2 * in_title + 0.1 * entry.fields.weight


def _meets(entry: _Entry, conditions: Sequence[Condition]) -> bool:
    return all(_meets_one(entry, condition) for condition in conditions)


def _meets_one(entry: _Entry, condition: Condition) -> bool:
    fields = entry.fields
    if isinstance(condition, NameCondition):
        keys = fields.author_keys if condition.field == "author_key" else [str(getattr(fields, condition.field))]
        return any(key and key in condition.keys for key in keys)
    number = entry.book.publication_year if condition.field == "year" else int(getattr(fields, condition.field))
    if number is None:
        return False
    return (condition.low is None or number >= condition.low) and (condition.high is None or number <= condition.high)


def _sort(entries: list[_Entry], query: BookSearch, score: Callable[[_Entry], float]) -> list[Hit]:
    sort, descending = choose_order(query)
    if sort == "relevance":
        ranked = [Hit(entry.book.book, score(entry)) for entry in entries]
    elif sort == "title":
        ranked = [Hit(entry.book.book, entry.fields.by_title) for entry in entries]
    else:
        ranked = [Hit(entry.book.book, entry.fields.keys[KEY_FIELDS[sort]]) for entry in entries]
    return sorted(ranked, key=lambda hit: (hit.key, hit.book), reverse=descending)


def _cut(hits: list[Hit], query: BookSearch, pager: Pager) -> list[Hit]:
    window, boundary = pager.window, pager.window.boundary
    if boundary is None:
        return hits[window.offset :][: pager.hits_wanted]
    edge = (boundary.key, boundary.books[-1])
    if window.backward:
        hits = hits[::-1]
    descending = choose_order(query)[1] ^ window.backward
    behind = [hit for hit in hits if ((hit.key, hit.book) < edge if descending else (hit.key, hit.book) > edge)]
    return behind[: pager.hits_wanted]


def _count_facets(entries: list[_Entry], conditions: Sequence[Condition], query: BookSearch) -> Facets:
    names: dict[FacetDimension, tuple[FacetValue, ...]] = {}
    ranges: dict[FacetDimension, tuple[FacetRange, ...]] = {}
    for group in group_facets(query.facets, conditions):
        counted = [entry for entry in entries if _meets(entry, group.conditions)]
        for dimension in group.dimensions:
            if dimension in NAME_FACETS:
                values = Counter(value for entry in counted for value in _list_names(entry.book, dimension))
                names[dimension] = sort_values(values.items(), query.facet_values)
            else:
                assert dimension in RANGE_FACETS
                bands = list_bands(dimension, query.price_bands)
                numbers = [int(getattr(entry.fields, dimension)) for entry in counted]
                counts = [
                    sum((low is None or number >= low) and (high is None or number < high) for number in numbers)
                    for low, high in bands
                ]
                ranges[dimension] = make_ranges(dimension, bands, counts)
    return make_facets(names, ranges)


def _list_names(book: IndexedBook, dimension: FacetDimension) -> tuple[str, ...]:
    return book.authors if dimension == "author" else (str(getattr(book, dimension)),)


def _distance(one: str, other: str) -> int:
    """Returns the optimal string alignment distance: inserted, missing, wrong and swapped letters count one each."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, against in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
