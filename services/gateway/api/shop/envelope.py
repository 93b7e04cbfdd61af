"""Pages of the bookstore's lists: `data`, and `pagination` with page numbers, exact totals, and cursors both ways."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeVar

from msgspec import Meta, Struct

from services.gateway.http.parameters import Cursor
from services.gateway.http.routes import HttpRequest
from shared.domain.errors import ErrorReason, Forbidden, InvalidParams
from shared.wire.cursors import Cursors

T = TypeVar("T")

MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 20

PageNumber = Annotated[int, Meta(ge=1, le=1_000_000, description="From 1; ignored with a cursor")]
PageLimit = Annotated[int, Meta(ge=1, le=1_000_000, description=f"How many; more than {MAX_LIMIT} is {MAX_LIMIT}")]
TenantId = Annotated[str, Meta(max_length=64, description="If it is there, the tenant of the request")]

# The key keeps a cursor to its query. It is no secret: a cursor opens nothing that the query does not.
_CURSORS: Final = Cursors(b"comanda-shop")


class TenantQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The tenant, which other systems of this kind take as a parameter."""

    tenant_id: TenantId | None = None


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Position and size of a page, by number or by cursor."""

    page: PageNumber = 1
    limit: PageLimit = DEFAULT_LIMIT
    cursor: Cursor | None = None
    tenant_id: TenantId | None = None


class PageRequest(Protocol):
    """The position and the size of a page, in any query that has them."""

    @property
    def page(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def cursor(self) -> str | None: ...


class Pagination(Struct, frozen=True):
    """The position of a page. The cursors lead to the neighbouring pages, whatever is added meanwhile."""

    current_page: int
    total_pages: int
    total_items: int
    items_per_page: int
    has_next: bool
    has_previous: bool
    next_cursor: str | None
    previous_cursor: str | None


class Position(NamedTuple):
    """The position that a cursor names: after an item, or before it if it leads back; and the number of its page."""

    item: str
    back: bool
    page: int


def seal_position(scope: Any, position: Position) -> str:
    """Returns the cursor of a position in the list of a query; `scope` has the parameters of the query."""
    return _CURSORS.encode_cursor(scope, [position.item, "back" if position.back else "", str(position.page)])


def open_cursor(scope: Any, cursor: str) -> Position:
    """Returns the position of a cursor. Raises InvalidParams for the cursor of another query."""
    item, back, page = _CURSORS.decode_cursor(scope, cursor)
    return Position(item, bool(back), int(page))


def build_pagination(
    scope: Any, *, page: int, limit: int, total: int, first: str | None, last: str | None, following: bool, before: bool
) -> Pagination:
    """Returns the position of a page.

    `first` and `last` are its items, None for an empty page; `following` and `before` tell whether there are others.
    """
    return Pagination(
        page,
        math.ceil(total / limit),
        total,
        limit,
        following,
        before,
        seal_position(scope, Position(last, False, page + 1)) if following and last is not None else None,
        seal_position(scope, Position(first, True, max(page - 1, 1))) if before and first is not None else None,
    )


def cut_page(
    query: PageRequest, scope: Any, entries: Sequence[T], key: Callable[[T], str], *, descending: bool
) -> tuple[Sequence[T], Pagination]:
    """Returns the page of a whole list that a query asks for, sorted by `key`, and its position."""
    limit, page = cut_limit(query.limit), query.page
    ordered = sorted(entries, key=key, reverse=descending)
    start = (page - 1) * limit
    stop = start + limit
    if query.cursor is not None:
        position = open_cursor(scope, query.cursor)
        page = position.page
        keys = [key(entry) for entry in ordered]
        if position.back:
            stop = sum((one > position.item) if descending else (one < position.item) for one in keys)
            start = max(stop - limit, 0)
            page = page if start else 1
        else:
            start = sum((one >= position.item) if descending else (one <= position.item) for one in keys)
            stop = start + limit
    shown = ordered[start:stop]
    pagination = build_pagination(
        scope,
        page=page,
        limit=limit,
        total=len(ordered),
        first=key(shown[0]) if shown else None,
        last=key(shown[-1]) if shown else None,
        following=stop < len(ordered),
        before=start > 0,
    )
    return shown, pagination


def own_account(request: HttpRequest, *said: str | None) -> tuple[str, str]:
    """Returns the tenant and the user of a request for a route that admits accounts alone.

    Raises Forbidden if the query or the body names another tenant.
    """
    principal = request.principal
    check_tenant(principal.tenant, request.query.tenant_id, *said)
    assert principal.user is not None
    return principal.tenant, principal.user


def check_tenant(tenant: str, *said: str | None) -> None:
    """Raises Forbidden if the query or the body name another tenant than that of the request."""
    if any(one not in (None, tenant) for one in said):
        raise Forbidden(
            "tenant_id is not the tenant of this request",
            field="tenant_id",
            hint="the tenant is that of the token, the host name or the header X-Tenant-Id; leave tenant_id out",
            reason=ErrorReason("tenant_other"),
        )


def cut_limit(limit: int) -> int:
    """Returns the size of a page."""
    return min(limit, MAX_LIMIT)


def check_depth(page: int, limit: int, deepest: int) -> int:
    """Returns how many items are before a page. Raises InvalidParams behind `deepest` items."""
    skip = (page - 1) * limit
    if skip + limit > deepest:
        raise InvalidParams(
            f"pages end after {deepest} items",
            field="page",
            hint="next_cursor leads further, page by page",
            reason=ErrorReason("page_too_deep", max=deepest),
        )
    return skip
