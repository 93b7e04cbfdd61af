"""Disjunctive facets: which counts are made under which filters.

The counts of a dimension ignore the filter on it, so that the user of a page sees what else could be chosen, and obey
all other filters.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shared.domain.errors import InvalidParams
from shared.search.port import FacetDimension, FacetRange, Facets, FacetValue
from shared.search.queries import Condition

NAME_FACETS: tuple[FacetDimension, ...] = ("category", "subcategory", "language", "author")
"""Dimensions that are counted by name; the field of the names has the name of the dimension."""

RANGE_FACETS: tuple[FacetDimension, ...] = ("price", "rating")
"""Dimensions that are counted by ranges."""

_HIGHEST_BOUND = 2**31
_RATING_BANDS = (100, 200, 300, 400)


class FacetGroup(NamedTuple):
    """Dimensions that are counted under the same conditions."""

    dimensions: tuple[FacetDimension, ...]
    conditions: tuple[Condition, ...]


def group_facets(counted: Sequence[FacetDimension], conditions: Sequence[Condition]) -> list[FacetGroup]:
    """Returns the groups of dimensions to count: one for all without a filter, and one for each other."""
    filtered = {condition.dimension for condition in conditions}
    free = tuple(dimension for dimension in counted if dimension not in filtered)
    groups = [FacetGroup(free, tuple(conditions))] if free else []
    for dimension in counted:
        if dimension in filtered:
            others = tuple(condition for condition in conditions if condition.dimension != dimension)
            groups.append(FacetGroup((dimension,), others))
    return groups


def list_bands(dimension: FacetDimension, price_bands: Sequence[int]) -> list[tuple[int | None, int | None]]:
    """Returns the ranges of a dimension that is counted by ranges. Raises InvalidParams for bounds out of order."""
    bounds = price_bands if dimension == "price" else _RATING_BANDS
    if any(high <= low for low, high in itertools.pairwise((0, *bounds, _HIGHEST_BOUND))):
        raise InvalidParams("the bounds of the price bands do not ascend from 1", field="price_bands")
    # Books without a price, which is 0 in the index, are in no range.
    lowest = 1 if dimension == "price" else None
    return list(zip((lowest, *bounds), (*bounds, None), strict=True))


def sort_values(counts: Iterable[tuple[str, int]], limit: int) -> tuple[FacetValue, ...]:
    """Returns the `limit` most frequent names first, names of equal count in alphabetical order."""
    ordered = sorted((item for item in counts if item[1] and item[0]), key=lambda item: (-item[1], item[0]))
    return tuple(FacetValue(value, count) for value, count in ordered[:limit])


def make_ranges(
    dimension: FacetDimension, bands: Sequence[tuple[int | None, int | None]], counts: Sequence[int]
) -> tuple[FacetRange, ...]:
    """Returns the ranges with their counts, the first one without a lower bound; those of ratings are in stars."""
    unit = 100 if dimension == "rating" else 1
    lows = (None, *(low // unit for low, _ in bands[1:] if low is not None))
    highs = (None if high is None else high // unit for _, high in bands)
    return tuple(FacetRange(*found) for found in zip(lows, highs, counts, strict=True))


def make_facets(
    names: Mapping[FacetDimension, tuple[FacetValue, ...]], ranges: Mapping[FacetDimension, tuple[FacetRange, ...]]
) -> Facets:
    """Returns the facets of the dimensions that were counted."""
    return Facets(
        category=names.get("category", ()),
        subcategory=names.get("subcategory", ()),
        language=names.get("language", ()),
        author=names.get("author", ()),
        price=ranges.get("price", ()),
        rating=ranges.get("rating", ()),
    )
