"""Counts books and facets."""

import bisect
import functools
import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import tantivy
from tantivy import Query

from shared.search.facets import NAME_FACETS, RANGE_FACETS, list_bands, make_facets, make_ranges, sort_values
from shared.search.port import BookSearch, FacetDimension, FacetRange, Facets, FacetValue
from shared.search.queries import Condition, Dimension, NameCondition
from shared.search.tantivy.queries import QueryBuilder
from shared.search.tantivy.schema import PRICE_STEP, STARS, YEAR_MISSING, is_price_step, number_price_step

_Aggregations = dict[str, Any]

_AGGREGATED: Final = {"author": "author_name", "rating": STARS, "price": PRICE_STEP}
_DIMENSIONS: Final = (*NAME_FACETS, *RANGE_FACETS)
_PASSED: Final = "passed"
_OTHERS: Final = "others"
_TOTAL: Final = "total"
_COUNTED: Final[_Aggregations] = {_TOTAL: {"filter": "*"}}
_STEPS: Final = 200
"""Price steps have fewer values."""
_NO_NAME: Final = "_"
"""A name that no book has: keys have no underscore."""
_HIGHEST: Final = 2**32


def count_books(searcher: tantivy.Searcher, matched: Query) -> int:
    """Returns the number of the matched books, in a third of the time that a search takes to count them."""
    total: int = searcher.aggregate(matched, _COUNTED)[_TOTAL]["doc_count"]
    return total


class FacetCounter:
    """Counts the facets of one query. The counts of a dimension obey all conditions but its own.

    For few books each condition is looked up for each book. This takes a pass for each dimension with a condition, and
    one for all others. For many books one pass takes a third of the time, in which each condition is read once, for all
    books. The conditions on counted dimensions are a chain there:

        passed: language is es          others: price up to 20   -> counts of language
            passed: price up to 20      counts of price
                counts of all other dimensions, total

    Each link has the counts of its own dimension, of the books that pass all links before it and all after it.
    """

    def __init__(self, query: BookSearch, conditions: Sequence[Condition]) -> None:
        """Raises InvalidParams for bounds of prices that are out of order."""
        self._query = query
        self._bands: dict[FacetDimension, list[tuple[int | None, int | None]]] = {
            dimension: list_bands(dimension, query.price_bands)
            for dimension in query.facets
            if dimension in RANGE_FACETS
        }
        self._by_step = all(map(is_price_step, query.price_bands))
        self._counted = [condition for condition in conditions if condition.dimension in query.facets]
        uncounted = [condition for condition in conditions if condition not in self._counted]
        # These leave fewer books to the others.
        self._conditions = [*uncounted, *self._counted]

    def count(
        self, searcher: tantivy.Searcher, queries: QueryBuilder, matched: Query, *, many: bool
    ) -> tuple[Facets, int]:
        """Returns the facets of the matched books, and the number of those that meet all conditions."""
        passes: list[tuple[Sequence[Condition], _Aggregations]]
        passes = [((), self._make_chain(self._conditions))]
        if not many:
            passes = [(self._conditions, self._make_chain([]))]
            passes += [(self._list_others([one]), self._aggregate(one.dimension)) for one in self._counted]
        found = [searcher.aggregate(queries.narrow(matched, obeyed), wanted) for obeyed, wanted in passes]
        names: dict[FacetDimension, tuple[FacetValue, ...]] = {}
        ranges: dict[FacetDimension, tuple[FacetRange, ...]] = {}
        for dimension, buckets in itertools.chain.from_iterable(map(_iterate_buckets, found)):
            if dimension in NAME_FACETS:
                counts = ((bucket["key"], bucket["doc_count"]) for bucket in buckets)
                names[dimension] = sort_values(counts, self._query.facet_values)
            else:
                bands = self._bands[dimension]
                ranges[dimension] = make_ranges(dimension, bands, self._sum_bands(dimension, buckets))
        return make_facets(names, ranges), _read_total(found[0])

    def _list_others(self, left_out: Sequence[Condition]) -> list[Condition]:
        return [condition for condition in self._conditions if condition not in left_out]

    def _make_chain(self, conditions: Sequence[Condition]) -> _Aggregations:
        if not conditions:
            filtered = {condition.dimension for condition in self._counted}
            free = [dimension for dimension in self._query.facets if dimension not in filtered]
            return functools.reduce(operator.or_, map(self._aggregate, free), _COUNTED)
        first, *rest = conditions
        passed = {_PASSED: {"filter": _write_filter(first), "aggs": self._make_chain(rest)}}
        if first not in self._counted:
            return passed
        others = self._aggregate(first.dimension)
        for condition in reversed(rest):
            others = {_OTHERS: {"filter": _write_filter(condition), "aggs": others}}
        return {**others, **passed}

    def _aggregate(self, dimension: Dimension) -> _Aggregations:
        if dimension == "price" and not self._by_step:
            ranges = [_make_band(index, band) for index, band in enumerate(self._bands["price"])]
            return {dimension: {"range": {"field": "price", "ranges": ranges}}}
        # Books without a name are one more.
        size = _STEPS if dimension == "price" else self._query.facet_values + 1
        return {dimension: {"terms": {"field": _AGGREGATED.get(dimension, dimension), "size": size}}}

    def _sum_bands(self, dimension: FacetDimension, buckets: Sequence[Mapping[str, Any]]) -> list[int]:
        sums = [0] * len(self._bands[dimension])
        # Ranges have their numbers as keys. Those below all bands have another key, as have stars and steps.
        places = {str(index): index for index in range(len(sums))}
        if dimension == "rating":
            places["5"] = places["4"]
        elif self._by_step:
            bounds = [number_price_step(bound) for bound in self._query.price_bands]
            places = {str(step): bisect.bisect_right(bounds, step) for step in range(number_price_step(1), _STEPS)}
        for bucket in buckets:
            key = bucket["key"]
            place = places.get(key if isinstance(key, str) else str(int(key)))
            if place is not None:
                sums[place] += bucket["doc_count"]
        return sums


def _write_filter(condition: Condition) -> str:
    """Returns a condition in tantivy's syntax. Keys consist of letters, digits and blanks, so they need no escapes."""
    if isinstance(condition, NameCondition):
        terms = [f'{condition.field}:"{key or _NO_NAME}"' for key in condition.keys]
        return " OR ".join(terms)
    lowest = YEAR_MISSING + 1 if condition.field == "year" else 0
    low = lowest if condition.low is None else max(condition.low, lowest)
    high = _HIGHEST if condition.high is None else condition.high
    # No number of a book is at or above the highest bound.
    return f"{condition.field}:[{low} TO {high}]" if low <= high else f'book:"{_NO_NAME}"'


def _iterate_buckets(found: Mapping[str, Any]) -> Iterator[tuple[FacetDimension, list[Any]]]:
    """Yields the dimensions with their buckets, wherever in the chain they are."""
    for name, value in found.items():
        if name in (_PASSED, _OTHERS):
            yield from _iterate_buckets(value)
        elif name in _DIMENSIONS:
            yield name, value["buckets"]


def _read_total(found: Mapping[str, Any]) -> int:
    while _PASSED in found:
        found = found[_PASSED]
    total: int = found[_TOTAL]["doc_count"]
    return total


def _make_band(index: int, band: tuple[int | None, int | None]) -> dict[str, Any]:
    bounds = zip(("from", "to"), band, strict=True)
    return {"key": str(index), **{name: float(bound) for name, bound in bounds if bound is not None}}
