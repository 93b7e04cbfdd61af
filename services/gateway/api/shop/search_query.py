"""Filters, orders and facets of lists of books, as they are in the query of a request."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from services.gateway.api.shop.envelope import DEFAULT_LIMIT, PageLimit, PageNumber, TenantId, cut_limit
from services.gateway.http.parameters import Cursor
from shared.domain.errors import ErrorReason, InvalidParams
from shared.domain.money import to_minor_units
from shared.search.port import MAX_TEXT_LETTERS, BookFilters, BookSearch, BookSort, FacetDimension, Fuzziness

Names = Annotated[str, Meta(max_length=1000, description="One name, or several with | between them")]
Amount = Annotated[Decimal, Meta(description="In the shop's currency; the bound is included")]
Year = Annotated[int, Meta(ge=-10_000, le=10_000, description="Negative before Christ; the bound is included")]
Stars = Annotated[float, Meta(ge=0, le=5, description="From 0 to 5")]
FacetNames = Annotated[
    str, Meta(max_length=100, description=f"What to count, with commas: {', '.join(get_args(FacetDimension))}")
]
Text = Annotated[str, Meta(max_length=MAX_TEXT_LETTERS, description="Words; a book has all of them")]

_MAX_NAMES: Final = 20
_FUZZINESS: Final[dict[str, Fuzziness]] = {"auto": "auto", "true": "always", "false": "never"}
_BANDS: Final = (10, 20, 30, 50)


class FilterQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Filters, order and page of a list of books."""

    page: PageNumber = 1
    limit: PageLimit = DEFAULT_LIMIT
    cursor: Cursor | None = None
    category: Names | None = None
    subcategory: Names | None = None
    language: Names | None = None
    author: Names | None = None
    price_from: Amount | None = None
    price_to: Amount | None = None
    year_from: Year | None = None
    year_to: Year | None = None
    rating_from: Stars | None = None
    in_stock: bool = False
    sort: BookSort | None = None
    order: Literal["asc", "desc"] | None = None
    facets: FacetNames | None = None
    tenant_id: TenantId | None = None

    @property
    def is_plain(self) -> bool:
        """Whether all books are wanted, newest first, without counts."""
        plain = FilterQuery(page=self.page, limit=self.limit, cursor=self.cursor, tenant_id=self.tenant_id)
        return type(self) is FilterQuery and self == plain


class SearchQuery(FilterQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search: `fuzzy=auto` also finds misspelt words if hardly any book has precisely these."""

    q: Text
    fuzzy: Literal["auto", "true", "false"] = "auto"


def build_search(query: FilterQuery, exponent: int) -> BookSearch:
    """Returns the query for the index; the shop's currency has `exponent` decimals. Raises InvalidParams."""
    return BookSearch(
        text=query.q if isinstance(query, SearchQuery) else None,
        fuzzy=_FUZZINESS[query.fuzzy] if isinstance(query, SearchQuery) else "auto",
        filters=BookFilters(
            categories=_split_names(query.category, "category"),
            subcategories=_split_names(query.subcategory, "subcategory"),
            languages=_split_names(query.language, "language"),
            authors=_split_names(query.author, "author"),
            price_from=_to_minor(query.price_from, exponent, "price_from"),
            price_to=_to_minor(query.price_to, exponent, "price_to"),
            year_from=query.year_from,
            year_to=query.year_to,
            rating_from=query.rating_from,
            in_stock=query.in_stock,
        ),
        sort=query.sort,
        descending=None if query.order is None else query.order == "desc",
        limit=cut_limit(query.limit),
        page=query.page,
        cursor=query.cursor,
        facets=_read_facets(query.facets),
        price_bands=tuple(bound * 10**exponent for bound in _BANDS),
    )


def _split_names(names: str | None, field: str) -> tuple[str, ...]:
    if names is None:
        return ()
    found = tuple(name.strip() for name in names.split("|") if name.strip())
    if not found or len(found) > _MAX_NAMES:
        raise InvalidParams(
            f"{field} has {len(found)} names",
            field=field,
            hint=f"from 1 to {_MAX_NAMES}, with |",
            reason=ErrorReason("length", min=1, max=_MAX_NAMES),
        )
    return found


def _to_minor(amount: Decimal | None, exponent: int, field: str) -> int | None:
    return None if amount is None else to_minor_units(amount, exponent, field=field)


def _read_facets(named: str | None) -> tuple[FacetDimension, ...]:
    known: Sequence[FacetDimension] = get_args(FacetDimension)
    wanted = {name.strip() for name in (named or "").split(",") if name.strip()}
    if unknown := wanted - set(known):
        raise InvalidParams(
            f"there is no facet {min(unknown)}",
            field="facets",
            hint=f"one of {', '.join(known)}",
            reason=ErrorReason("choice", choices=list(known)),
        )
    return tuple(name for name in known if name in wanted)
