"""Purchases: the checkout of a cart, and what its customer sees of a purchase."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from clients.persistence import PersistenceClient
from clients.shop import purchases as shop_purchases
from clients.shop.checkout import CheckoutRequest, check_out
from clients.shop.recent import RecentShop
from services.gateway.api.shop.envelope import (
    PageLimit,
    PageNumber,
    Pagination,
    TenantId,
    TenantQuery,
    cut_page,
    own_account,
)
from services.gateway.api.shop.views import load_shop
from services.gateway.http.parameters import Cursor
from services.gateway.http.principal import SIGNED_IN
from services.gateway.http.responses import json_response, seen_version
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.upstream.backend import Backend
from shared.domain.money import round_half_up, to_decimal, to_minor_units
from shared.domain.purchases import (
    IdempotencyKey,
    PaymentMethod,
    Purchase,
    PurchaseStatus,
    ShippingAddress,
    clean_address,
)

_PATH: Final = "/api/v1/purchases"
_MAX_LISTED: Final = 10_000
"""A list is read as a whole, so that its pages and their total are exact; older purchases are found by their ids."""


class CheckoutHeaders(Struct, frozen=True, rename={"if_match": "if-match", "key": "idempotency-key"}):
    """The key of a checkout, and the cart that was seen."""

    key: IdempotencyKey | None = None
    if_match: Annotated[str | None, Meta(description="The ETag of the cart that was seen")] = None


class CheckoutBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The payment method and the shipping address of a checkout."""

    payment_method: PaymentMethod
    shipping_address: ShippingAddress
    expected_total: Annotated[Decimal | None, Meta(description="The total_amount that was shown")] = None
    tenant_id: TenantId | None = None


class PurchaseQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Position and size of a page, and the status of its purchases."""

    page: PageNumber = 1
    limit: PageLimit = 10
    status: PurchaseStatus | None = None
    cursor: Cursor | None = None
    tenant_id: TenantId | None = None


class PurchaseItemView(Struct, frozen=True):
    """A line of a purchase, as it was then."""

    book_id: str
    title: str
    author: str
    category: str
    quantity: int
    unit_price: Decimal
    subtotal: Decimal
    tax: Decimal
    tax_rate: str


class PurchaseStep(Struct, frozen=True):
    """A step of a purchase: it was made, handed to the workers as an order, and completed or cancelled."""

    step: Literal["placed", "ordered", "completed", "cancelled"]
    at: str


class PurchaseView(Struct, frozen=True):
    """A purchase. Amounts are sums of its lines; `total_amount` is `net_amount` and `tax_amount`."""

    purchase_id: str
    tenant_id: str
    user_id: str
    status: PurchaseStatus
    reason: str | None
    total_amount: Decimal
    net_amount: Decimal
    tax_amount: Decimal
    currency: str
    payment_method: str
    shipping_address: Mapping[str, Any]
    items: Sequence[PurchaseItemView]
    order_id: str | None
    steps: Annotated[Sequence[PurchaseStep], Meta(description="What has happened so far, in order")]
    created_at: str
    updated_at: str


class PurchaseMade(Struct, frozen=True):
    """The purchase of a checkout."""

    message: str
    purchase_id: str
    total_amount: Decimal
    items_purchased: int
    purchase: PurchaseView


class PurchaseCancelled(Struct, frozen=True):
    """A cancelled purchase."""

    message: str
    purchase: PurchaseView


class PurchasePage(Struct, frozen=True):
    """Purchases, newest first."""

    data: Sequence[PurchaseView]
    pagination: Pagination


class PurchaseSums(Struct, frozen=True):
    """Sums of purchases that were not cancelled."""

    total_purchases: int
    total_spent: Decimal
    average_order_value: Decimal
    currency: str


class PurchaseSummary(Struct, frozen=True):
    """The sums of a customer's purchases, with the copies by category."""

    summary: PurchaseSums
    category_breakdown: Mapping[str, int]
    user_id: str


class PurchaseRoutes:
    """Everything below /api/v1/purchases. The purchases of others do not exist for a customer."""

    def __init__(self, persistence: Backend[PersistenceClient], tenants: TenantDirectory, recent: RecentShop) -> None:
        self._records = persistence
        self._tenants = tenants
        self._recent = recent

    @route(
        "POST",
        f"{_PATH}/checkout",
        id="checkout_post_purchases",
        tag="purchases",
        access=SIGNED_IN,
        limit_group="checkout",
        summary="Buy what is in your cart",
        description="With the same Idempotency-Key the same purchase is answered, with 200. Without one, the version "
        "of the cart stands for it: If-Match with the cart's ETag makes a lost answer safe to repeat. A total above "
        "expected_total is refused, a lower one is accepted.",
        body=CheckoutBody,
        query=TenantQuery,
        headers=CheckoutHeaders,
        example={
            "payment_method": "card",
            "shipping_address": {"street": "Mayor 1", "city": "Gualeguaychú"},
            "expected_total": 38.97,
        },
        responses={
            201: ResponseSpec(PurchaseMade, "The purchase"),
            200: ResponseSpec(PurchaseMade, "The purchase that this key has made before"),
        },
        errors=("conflict", "precondition_failed", *UPSTREAM_ERRORS),
    )
    async def _check_out(self, request: HttpRequest) -> HttpResponse:
        sent: CheckoutBody = request.body
        tenant, user = own_account(request, sent.tenant_id)
        shop = await load_shop(self._tenants, tenant)
        expected = sent.expected_total
        checkout = CheckoutRequest(
            sent.payment_method,
            clean_address(sent.shipping_address),
            None if expected is None else to_minor_units(expected, shop.exponent, field="expected_total"),
            request.headers.key,
            seen_version(request.headers.if_match),
        )
        records = self._records.of(tenant)
        made = await check_out(records.lookups, shop, user, checkout, self._recent.of(tenant, records.at_once))
        view = show_purchase(made.purchase, tenant)
        answer = PurchaseMade(
            "Compra procesada exitosamente", view.purchase_id, view.total_amount, len(view.items), view
        )
        return json_response(answer, status=201 if made.created else 200, location=f"{_PATH}/{made.purchase.purchase}")

    @route(
        "GET",
        _PATH,
        id="list_get_purchases",
        tag="purchases",
        access=SIGNED_IN,
        summary="List your purchases, newest first",
        query=PurchaseQuery,
        responses={200: ResponseSpec(PurchasePage, "A page of purchases")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_purchases(self, request: HttpRequest) -> HttpResponse:
        query: PurchaseQuery = request.query
        tenant, user = own_account(request)
        found = await shop_purchases.list_purchases(
            self._records.of(tenant).lists, user, status=query.status, limit=_MAX_LISTED
        )
        scope = {"list": "purchases", "tenant": tenant, "user": user, "status": query.status}
        shown, pagination = cut_page(query, scope, found, lambda one: one.purchase, descending=True)
        return json_response(PurchasePage([show_purchase(one, tenant) for one in shown], pagination))

    @route(
        "GET",
        f"{_PATH}/analytics/summary",
        id="summary_get_purchases",
        tag="purchases",
        access=SIGNED_IN,
        summary="What you have bought, in sums",
        query=TenantQuery,
        responses={200: ResponseSpec(PurchaseSummary, "Sums of your purchases that were not cancelled")},
        errors=UPSTREAM_ERRORS,
    )
    async def _summarize(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        shop = await load_shop(self._tenants, tenant)
        found = await shop_purchases.list_purchases(self._records.of(tenant).lists, user, limit=_MAX_LISTED)
        bought = [one for one in found if one.status != "cancelled"]
        spent = sum(one.total for one in bought)
        sums = PurchaseSums(
            len(bought),
            to_decimal(spent, shop.exponent),
            to_decimal(round_half_up(spent, max(len(bought), 1)), shop.exponent),
            shop.currency,
        )
        copies: Counter[str] = Counter()
        for purchase in bought:
            for item in purchase.items:
                copies[item.category] += item.quantity
        return json_response(PurchaseSummary(sums, dict(copies.most_common()), user))

    @route(
        "GET",
        f"{_PATH}/{{id}}",
        id="show_get_purchases",
        tag="purchases",
        access=SIGNED_IN,
        summary="Look at a purchase",
        query=TenantQuery,
        responses={200: ResponseSpec(PurchaseView, "The purchase")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _show_purchase(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        purchase = await shop_purchases.get_purchase(self._records.of(tenant).lookups, user, request.id)
        return json_response(show_purchase(purchase, tenant))

    @route(
        "POST",
        f"{_PATH}/{{id}}/cancel",
        id="cancel_post_purchases",
        tag="purchases",
        access=SIGNED_IN,
        summary="Cancel a purchase that is pending",
        description="Its copies go back into stock, once. Cancelling it again changes nothing.",
        query=TenantQuery,
        responses={200: ResponseSpec(PurchaseCancelled, "It is cancelled")},
        errors=("not_found", "conflict", *UPSTREAM_ERRORS),
    )
    async def _cancel_purchase(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        records = self._records.of(tenant).lookups
        purchase = await shop_purchases.cancel_purchase(records, user, request.id, "customer")
        return json_response(PurchaseCancelled("Compra cancelada", show_purchase(purchase, tenant)))


def show_purchase(purchase: Purchase, tenant: str) -> PurchaseView:
    """Returns a purchase as routes show it."""
    digits = purchase.exponent
    return PurchaseView(
        purchase_id=purchase.purchase,
        tenant_id=tenant,
        user_id=purchase.user,
        status=purchase.status,
        reason=purchase.reason,
        total_amount=to_decimal(purchase.total, digits),
        net_amount=to_decimal(purchase.net, digits),
        tax_amount=to_decimal(purchase.tax, digits),
        currency=purchase.currency,
        payment_method=purchase.payment_method,
        shipping_address=purchase.shipping_address,
        items=[
            PurchaseItemView(
                book_id=item.book_id,
                title=item.title,
                author=item.author,
                category=item.category,
                quantity=item.quantity,
                unit_price=to_decimal(item.unit_price, digits),
                subtotal=to_decimal(item.subtotal, digits),
                tax=to_decimal(item.tax, digits),
                tax_rate=item.tax_rate,
            )
            for item in purchase.items
        ],
        order_id=purchase.order,
        steps=_list_steps(purchase),
        created_at=purchase.created_at,
        updated_at=purchase.updated_at,
    )


def _list_steps(purchase: Purchase) -> list[PurchaseStep]:
    steps = [PurchaseStep("placed", purchase.created_at)]
    if purchase.ordered_at is not None:
        steps.append(PurchaseStep("ordered", purchase.ordered_at))
    if purchase.status != "pending":
        steps.append(PurchaseStep(purchase.status, purchase.updated_at))
    return steps
