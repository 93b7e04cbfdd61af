"""Carts of customers, and of guests by a token of their own."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta, Struct

from clients.accounts.secret_tokens import draw_secret
from clients.persistence import PersistenceClient
from clients.shop import carts
from clients.shop.books import StoredBook
from clients.shop.carts import CartBooks
from clients.shop.recent import RecentShop, RecentTenantShop
from services.gateway.api.shop.envelope import TenantId, TenantQuery, check_tenant, own_account
from services.gateway.api.shop.guest_carts import CartToken, Guest, GuestCarts, MergedCartView
from services.gateway.api.shop.views import Currency, load_shop, show_price, show_thumbnail
from services.gateway.http.principal import PUBLIC, SIGNED_IN
from services.gateway.http.responses import json_response, seen_version
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.upstream.backend import Backend
from shared.domain.books import Obstacle, obstacle_to_sale
from shared.domain.carts import Cart, CartLine, Quantity
from shared.domain.errors import ErrorReason, InvalidParams
from shared.domain.money import to_decimal
from shared.domain.purchases import PurchasedItem, price_line, sum_items
from shared.domain.tenants import TenantRecord

_PATH: Final = "/api/v1/cart"
_TOKEN: Final = b"x-cart-token"


class CartHeaders(Struct, frozen=True, rename={"if_match": "if-match", "token": "x-cart-token"}):
    """The cart that was seen, and the token of a guest."""

    if_match: Annotated[str | None, Meta(description="The ETag that was seen: no other cart is changed")] = None
    token: CartToken | None = None


class AddedLine(Struct, frozen=True, forbid_unknown_fields=True):
    """Copies of a book to add."""

    book_id: Annotated[str, Meta(min_length=1, max_length=64)]
    quantity: Quantity
    tenant_id: TenantId | None = None


class LineChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The new number of copies."""

    quantity: Quantity
    tenant_id: TenantId | None = None


class BookDetails(Struct, frozen=True):
    """The book of a line as it is now."""

    title: str | None
    author: str | None
    price: Decimal | None
    cover_image_url: str
    thumbnail_url: str
    stock_quantity: int


class CartLineView(Struct, frozen=True):
    """A line of a cart with today's price. `reason` says why it cannot be bought as it is."""

    book_id: str
    quantity: int
    added_at: str
    updated_at: str
    book_details: BookDetails
    unit_price: Decimal | None
    subtotal: Decimal | None
    tax: Decimal | None
    tax_rate: str | None
    price_when_added: Decimal | None
    changed: Literal["up", "down"] | None
    available: bool
    reason: Obstacle | None


class CartSummary(Struct, frozen=True):
    """Sums of the lines that can be bought; `total_items` counts all copies."""

    total_items: int
    total_amount: Decimal
    net_amount: Decimal
    tax_amount: Decimal
    currency: str


class CartView(Struct, frozen=True):
    """A cart."""

    items: Sequence[CartLineView]
    summary: CartSummary


class CartChanged(Struct, frozen=True):
    """A changed cart; a guest finds it by its token."""

    message: str
    total_items: int
    cart_token: str | None


class CartMerged(MergedCartView, frozen=True, kw_only=True):
    """The outcome of a merge as text and numbers."""

    message: str


class _Owner(NamedTuple):
    """The owner of a cart: its key, and the guest if it is one."""

    key: str
    guest: Guest | None


class CartRoutes:
    """Everything below /api/v1/cart. Checkouts begin with the carts in `recent`.

    With `adds_to_recent`, additions do as well. They check book and stock in their transaction then, which DynamoDB
    charges twice for, and which would contend with the checkouts of a hot book there.
    """

    def __init__(
        self,
        persistence: Backend[PersistenceClient],
        tenants: TenantDirectory,
        guest_carts: GuestCarts,
        recent: RecentShop,
        *,
        adds_to_recent: bool,
    ) -> None:
        self._records = persistence
        self._tenants = tenants
        self._guest_carts = guest_carts
        self._recent = recent
        self._adds_to_recent = adds_to_recent

    def _recent_of(self, tenant: str) -> RecentTenantShop:
        # Their transactions make no other request on their connection wait, and are committed together.
        return self._recent.of(tenant, self._records.of(tenant).at_once)

    @route(
        "GET",
        _PATH,
        id="show_get_cart",
        tag="cart",
        access=PUBLIC,
        summary="Look at your cart, with today's prices",
        query=TenantQuery,
        headers=CartHeaders,
        responses={200: ResponseSpec(CartView, "The cart")},
        errors=("unauthorized", "forbidden", *UPSTREAM_ERRORS),
    )
    async def _show_cart(self, request: HttpRequest) -> HttpResponse:
        tenant, owner = self._find_owner(request)
        records = self._records.of(tenant).lookups
        shop = await load_shop(self._tenants, tenant)
        cart = Cart("", 0, {}) if owner is None else await carts.load_cart(records, owner.key)
        found = await carts.attach_cart_books(records, cart)
        if cart.lines:
            self._recent_of(tenant).keep_cart(cart)
        return json_response(show_cart(found, shop), etag=_etag_of(cart))

    @route(
        "POST",
        f"{_PATH}/add",
        id="add_post_cart",
        tag="cart",
        access=PUBLIC,
        summary="Add copies of a book to your cart",
        description="Copies of a book that is in the cart add up. A guest gets a token with the first addition, and "
        "sends it as X-Cart-Token from then on; the cart is kept for 30 days after its last change.",
        body=AddedLine,
        query=TenantQuery,
        headers=CartHeaders,
        example={"book_id": "019ac5a2-0000-7000-8000-000000000000", "quantity": 1},
        responses={200: ResponseSpec(CartChanged, "They are in the cart")},
        errors=("unauthorized", "forbidden", "not_found", "conflict", "precondition_failed", *UPSTREAM_ERRORS),
    )
    async def _add_line(self, request: HttpRequest) -> HttpResponse:
        sent: AddedLine = request.body
        tenant, owner = self._find_owner(request, sent.tenant_id)
        owner = owner or _draw_guest()
        records, seen = self._records.of(tenant).lookups, _seen(request)
        recent = self._recent_of(tenant)
        cart = await carts.add_to_cart(
            records,
            owner.key,
            sent.book_id,
            sent.quantity,
            seen=seen,
            recent=recent if self._adds_to_recent else None,
        )
        recent.keep_cart(cart)
        return self._changed("Producto agregado al carrito", cart, owner)

    @route(
        "PUT",
        f"{_PATH}/update/{{id}}",
        id="update_put_cart",
        tag="cart",
        access=PUBLIC,
        summary="Set the copies of a book in your cart",
        body=LineChange,
        query=TenantQuery,
        headers=CartHeaders,
        example={"quantity": 2},
        responses={200: ResponseSpec(CartChanged, "So many are in the cart")},
        errors=("unauthorized", "forbidden", "not_found", "conflict", "precondition_failed", *UPSTREAM_ERRORS),
    )
    async def _set_quantity(self, request: HttpRequest) -> HttpResponse:
        sent: LineChange = request.body
        tenant, owner = self._find_owner(request, sent.tenant_id)
        owner = owner or _draw_guest()
        records, seen = self._records.of(tenant).lookups, _seen(request)
        cart = await carts.set_quantity(records, owner.key, request.id, sent.quantity, seen=seen)
        self._recent_of(tenant).keep_cart(cart)
        return self._changed("Carrito actualizado", cart, owner)

    @route(
        "DELETE",
        f"{_PATH}/remove/{{id}}",
        id="remove_delete_cart",
        tag="cart",
        access=PUBLIC,
        summary="Remove a book from your cart",
        query=TenantQuery,
        headers=CartHeaders,
        responses={200: ResponseSpec(CartChanged, "It is not in the cart")},
        errors=("unauthorized", "forbidden", "conflict", "precondition_failed", *UPSTREAM_ERRORS),
    )
    async def _remove_line(self, request: HttpRequest) -> HttpResponse:
        tenant, owner = self._find_owner(request)
        cart = Cart("", 0, {})
        if owner is not None:
            records = self._records.of(tenant).lookups
            cart = await carts.remove_from_cart(records, owner.key, request.id, seen=_seen(request))
            self._recent_of(tenant).keep_cart(cart)
        return self._changed("Producto removido del carrito", cart, owner)

    @route(
        "DELETE",
        f"{_PATH}/clear",
        id="clear_delete_cart",
        tag="cart",
        access=PUBLIC,
        summary="Remove everything from your cart",
        query=TenantQuery,
        headers=CartHeaders,
        responses={200: ResponseSpec(CartChanged, "The cart is empty")},
        errors=("unauthorized", "forbidden", "precondition_failed", *UPSTREAM_ERRORS),
    )
    async def _clear_cart(self, request: HttpRequest) -> HttpResponse:
        tenant, owner = self._find_owner(request)
        if owner is not None:
            await carts.clear_cart(self._records.of(tenant).lookups, owner.key, seen=_seen(request))
        return self._changed("Carrito vaciado", Cart("", 0, {}), owner)

    @route(
        "POST",
        f"{_PATH}/merge",
        id="merge_post_cart",
        tag="cart",
        access=SIGNED_IN,
        summary="Move the cart of a guest to your own, after you have signed in",
        description="Quantities of the same book add up. Doing it again changes nothing.",
        query=TenantQuery,
        headers=CartHeaders,
        responses={200: ResponseSpec(CartMerged, "The carts are one")},
        errors=("conflict", *UPSTREAM_ERRORS),
    )
    async def _merge_carts(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        guest = self._guest_carts.find_guest(request)
        if guest is None:
            raise InvalidParams(
                "the header X-Cart-Token is missing",
                field="X-Cart-Token",
                hint="it came with the guest's first addition",
                reason=ErrorReason("required"),
            )
        merge = await carts.merge_guest_cart(self._records.of(tenant).lookups, guest.owner, user)
        merged = CartMerged(merge.merged, merge.left_out, _count(merge.cart), message="Carrito actualizado")
        response = json_response(merged, etag=_etag_of(merge.cart))
        if guest.is_browser:
            response.headers.append(self._guest_carts.forget_token())
        return response

    def _find_owner(self, request: HttpRequest, said: str | None = None) -> tuple[str, _Owner | None]:
        """Returns the tenant and the owner of the cart, None for a guest without a token.

        Raises Forbidden if the request names another tenant, and Unauthorized for credentials that are not valid any
        more: their cart is not a guest's.
        """
        principal = request.principal
        check_tenant(principal.tenant, request.query.tenant_id, said)
        if principal.user is not None:
            return principal.tenant, _Owner(principal.user, None)
        self._guest_carts.check_session(request)
        guest = self._guest_carts.find_guest(request)
        return principal.tenant, None if guest is None else _Owner(guest.owner, guest)

    def _changed(self, message: str, cart: Cart, owner: _Owner | None) -> HttpResponse:
        guest = None if owner is None else owner.guest
        token = None if guest is None else guest.token
        response = json_response(CartChanged(message, _count(cart), token), etag=_etag_of(cart))
        if guest is not None:
            response.headers.append((_TOKEN, guest.token.encode()))
            if guest.is_browser:
                # Each change keeps the cart, and so its token, for the same time again.
                response.headers.append(self._guest_carts.keep_token(guest.token))
        return response


def show_cart(found: CartBooks, shop: TenantRecord) -> CartView:
    """Returns a cart as routes show it. Its sums are those of the purchase that a checkout would make of it now."""
    currency = Currency(shop.currency, shop.exponent)
    items: list[PurchasedItem] = []
    lines = []
    for (book, line), stored in zip(found.cart.lines.items(), found.books, strict=True):
        reason: Obstacle | None = (
            "not_listed" if stored is None else obstacle_to_sale(stored.book, stored.stock, line.quantity)
        )
        priced = None
        if stored is not None and reason is None:
            priced = price_line(stored.book, line.quantity, shop)
            items.append(priced)
        lines.append(_show_line(book, line, stored, priced, reason, currency))
    sums = sum_items(items)
    summary = CartSummary(
        _count(found.cart),
        to_decimal(sums.total, shop.exponent),
        to_decimal(sums.net, shop.exponent),
        to_decimal(sums.tax, shop.exponent),
        shop.currency,
    )
    return CartView(lines, summary)


def _show_line(
    book: str,
    line: CartLine,
    stored: StoredBook | None,
    priced: PurchasedItem | None,
    reason: Obstacle | None,
    currency: Currency,
) -> CartLineView:
    price = None if stored is None else stored.book.price
    before = line.price_when_added
    return CartLineView(
        book_id=book,
        quantity=line.quantity,
        added_at=line.added_at,
        updated_at=line.updated_at,
        book_details=BookDetails(
            title=None if stored is None else stored.book.title,
            author=None if stored is None else stored.book.author,
            price=show_price(price, currency),
            cover_image_url="" if stored is None else stored.book.cover_image_url,
            thumbnail_url="" if stored is None else show_thumbnail(stored.book.cover_image_url),
            stock_quantity=0 if stored is None else stored.stock,
        ),
        unit_price=show_price(price, currency),
        subtotal=None if priced is None else show_price(priced.subtotal, currency),
        tax=None if priced is None else show_price(priced.tax, currency),
        tax_rate=None if priced is None else priced.tax_rate,
        price_when_added=show_price(before, currency),
        changed=None if price is None or before in (None, price) else "up" if price > (before or 0) else "down",
        available=reason is None,
        reason=reason,
    )


def _draw_guest() -> _Owner:
    """Returns a new guest, which may be a browser."""
    guest = Guest(draw_secret(), is_browser=True)
    return _Owner(guest.owner, guest)


def _seen(request: HttpRequest) -> int | None:
    return seen_version(request.headers.if_match)


def _count(cart: Cart) -> int:
    return sum(line.quantity for line in cart.lines.values())


def _etag_of(cart: Cart) -> str:
    return f'"{cart.version}"'
