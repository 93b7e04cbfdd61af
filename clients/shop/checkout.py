"""The checkout of a cart: one transaction makes the purchase, takes the stock, and consumes the cart.

    Put    Checkouts {user, key, purchase, digest}      unless the key exists
    Delete Carts     {user}                             if it is of the version that was read
    Put    Purchases {…, status: pending}
    Check  Books     {book}             of each line    if it has the price, and is listed
    Update Stock     {store, item}      of each line    if there are enough copies

So stock is never taken without a purchase, a consumed cart cannot be ordered again, and a refused checkout leaves no
trace: the same key may be sent again.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from clients.errors import Refused
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient
from clients.shop.books import StoredBook, get_books, stock_key
from clients.shop.carts import explain_obstacle, load_cart
from clients.shop.purchases import get_purchase
from clients.shop.recent import RecentTenantShop
from shared.domain.books import obstacle_to_sale
from shared.domain.carts import Cart
from shared.domain.errors import Conflict, ErrorReason, InvalidParams, PreconditionFailed
from shared.domain.ids import new_uuid7
from shared.domain.money import to_decimal
from shared.domain.purchases import Purchase, price_line, purchase_item, sum_items
from shared.domain.records import Action, Check, Condition, Delete, Put, Update
from shared.domain.stock import Cause
from shared.domain.tables import BOOKS, CARTS, CHECKOUTS, PURCHASES, STOCK
from shared.domain.tenants import TenantRecord
from shared.runtime.clock import iso_now

_ATTEMPTS: Final = 3
_KEY_SECONDS: Final = 30 * 86_400
_encode = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


class CheckoutRequest(Struct, frozen=True):
    """The request of a customer: `expected_total`, in minor units, is the total that the customer has seen.

    Without a `key`, the version of the cart stands for one: `seen`, or else the stored one.
    """

    payment_method: str
    shipping_address: Mapping[str, Any]
    expected_total: int | None = None
    key: str | None = None
    seen: int | None = None


class Checkout(NamedTuple):
    """A purchase, and whether this checkout has made it, and not an earlier one with the same key."""

    purchase: Purchase
    created: bool


async def check_out(
    records: PersistenceClient,
    shop: TenantRecord,
    user: str,
    request: CheckoutRequest,
    recent: RecentTenantShop | None = None,
) -> Checkout:
    """Buys what is in a user's cart, in one request if `recent` has the cart and its books.

    Raises Conflict, with `details` of the cart's `lines` if some of them cannot be bought, or if the total has become
    higher than the expected one. Raises InvalidParams for a key that was used for another request, and
    PreconditionFailed for another cart than the one that was seen.
    """
    purchase = new_uuid7(time.time_ns())
    digest = _digest(request)
    if recent is not None:
        bought = await _check_out_recent(recent, shop, user, request, purchase=purchase, digest=digest)
        recent.forget_cart(user)
        if bought is not None:
            return bought
    for _ in range(_ATTEMPTS):
        cart = await load_cart(records, user)
        key = _key_of(request, cart.version if request.seen is None else request.seen)
        stored = await get_books(records, list(cart.lines))
        for one in stored:
            if recent is not None and one is not None:
                recent.keep_book(one)
        try:
            made = _build_purchase(shop, cart, stored, request, purchase)
            offers = [Condition(equal={"price": item.unit_price, "active": True}) for item in made.items]
            await records.transact(_build_actions(cart, made, key, digest, offers), safe=True, items=False)
        except (Conflict, PreconditionFailed):
            # An earlier request with this key may have consumed the cart. It is looked up only now: the transaction
            # refuses a known key, so that most checkouts need no request for it.
            found = await _find_checkout(records, user, key, digest, purchase)
            if found is None:
                raise
            return found
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            found = await _find_checkout(records, user, key, digest, purchase)
            if found is not None:
                return found
            # Another client has changed the cart, or a book: what is wrong shows when they are read again.
            continue
        return Checkout(made, created=True)
    raise Conflict("other customers keep buying the same books", hint="send it again", reason=ErrorReason("busy"))


async def _check_out_recent(
    recent: RecentTenantShop,
    shop: TenantRecord,
    user: str,
    request: CheckoutRequest,
    *,
    purchase: str,
    digest: str,
) -> Checkout | None:
    """Buys what was in a user's cart, without reading first, if cart and books are still the same.

    Returns None if that cannot be, or if they are not: then nothing has changed. The transaction decides about stock.
    """
    cart = recent.find_cart(user)
    if cart is None:
        return None
    stored: list[StoredBook] = []
    for book, line in cart.lines.items():
        found = recent.find_book(book)
        if found is None or found.stock < line.quantity:
            # A book that was sold out is so most likely still: the transaction would only be refused.
            return None
        stored.append(found._replace(stock=line.quantity))
    try:
        made = _build_purchase(shop, cart, stored, request, purchase)
    except (Conflict, PreconditionFailed):
        return None
    key = _key_of(request, cart.version)
    try:
        actions = _build_actions(cart, made, key, digest, [Condition(version=one.version) for one in stored])
        await recent.client.transact(actions, safe=True, items=False)
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        for book in cart.lines:
            recent.forget_book(book)
        # After a lost answer, this call has made the purchase; its cart is consumed, and its key may be that of no
        # other cart.
        stored_key = await recent.client.get_item(CHECKOUTS.name, {"user": user, "key": key})
        if stored_key.item is None or stored_key.item["purchase"] != purchase:
            return None
    return Checkout(made, created=True)


async def has_checked_out(records: PersistenceClient, user: str, key: str) -> bool:
    """Whether a user's checkout with this key has made a purchase, in the last 30 days."""
    return (await records.get_item(CHECKOUTS.name, {"user": user, "key": f"key:{key}"})).item is not None


async def _find_checkout(
    records: PersistenceClient, user: str, key: str, digest: str, purchase: str
) -> Checkout | None:
    """Returns the purchase that was made with a key; it is created by this call if it has the id `purchase`."""
    stored = await records.get_item(CHECKOUTS.name, {"user": user, "key": key})
    if stored.item is None:
        return None
    if stored.item["digest"] != digest:
        raise InvalidParams(
            "this Idempotency-Key was used for another checkout",
            field="Idempotency-Key",
            hint="use a new key for each purchase",
            details={"cart": {"reason": "key", "purchase_id": stored.item["purchase"]}},
            reason=ErrorReason("key_used", purchase_id=stored.item["purchase"]),
        )
    found = await get_purchase(records, user, stored.item["purchase"])
    return Checkout(found, found.purchase == purchase)


def _key_of(request: CheckoutRequest, version: int) -> str:
    return f"cart:{version}" if request.key is None else f"key:{request.key}"


def _digest(request: CheckoutRequest) -> str:
    sent = [request.payment_method, request.shipping_address, request.expected_total]
    return hashlib.sha256(_encode(sent)).hexdigest()


def _build_purchase(
    shop: TenantRecord, cart: Cart, stored: Sequence[StoredBook | None], request: CheckoutRequest, purchase: str
) -> Purchase:
    """Returns the purchase of a cart. Raises Conflict if it cannot be bought, and PreconditionFailed."""
    if not cart.lines:
        raise Conflict(
            "the cart is empty",
            field="cart",
            hint="add a book first",
            details={"cart": {"reason": "empty"}},
            reason=ErrorReason("cart_empty"),
        )
    if request.seen is not None and request.seen != cart.version:
        raise PreconditionFailed(
            "the cart was changed elsewhere",
            field="If-Match",
            hint="look at it again",
            reason=ErrorReason("cart_changed"),
        )
    obstacles = [
        _describe_obstacle(book, one, line.quantity)
        for (book, line), one in zip(cart.lines.items(), stored, strict=True)
    ]
    if wrong := [one for one in obstacles if one is not None]:
        titles = ", ".join(str(one["title"] or one["book_id"]) for one in wrong)
        raise Conflict(
            f"not for sale as it is in the cart: {titles}",
            field="cart",
            hint="change or remove these lines",
            details={"cart": {"reason": "lines", "lines": wrong}},
            faults=[_explain_line(one) for one in wrong],
            reason=ErrorReason("lines_unavailable", count=len(wrong)),
        )
    items = [
        price_line(one.book, line.quantity, shop)
        for line, one in zip(cart.lines.values(), stored, strict=True)
        if one is not None
    ]
    sums = sum_items(items)
    if request.expected_total is not None and sums.total > request.expected_total:
        digits = shop.exponent
        prices = [
            {
                "book_id": item.book_id,
                "title": item.title,
                "unit_price": to_decimal(item.unit_price, digits),
                "price_when_added": None
                if line.price_when_added is None
                else to_decimal(line.price_when_added, digits),
            }
            for item, line in zip(items, cart.lines.values(), strict=True)
        ]
        raise Conflict(
            "the total is higher than expected",
            field="expected_total",
            hint="show the customer the new prices, and send the new total",
            details={
                "cart": {
                    "reason": "price",
                    "total_amount": to_decimal(sums.total, digits),
                    "expected_total": to_decimal(request.expected_total, digits),
                    "lines": prices,
                }
            },
            reason=ErrorReason(
                "price_higher",
                total=to_decimal(sums.total, digits),
                expected=to_decimal(request.expected_total, digits),
                currency=shop.currency,
            ),
        )
    now = iso_now()
    return Purchase(
        user=cart.owner,
        purchase=purchase,
        status="pending",
        total=sums.total,
        net=sums.net,
        tax=sums.tax,
        currency=shop.currency,
        exponent=shop.exponent,
        payment_method=request.payment_method,
        shipping_address=dict(request.shipping_address),
        items=items,
        created_at=now,
        updated_at=now,
    )


def _describe_obstacle(book: str, stored: StoredBook | None, quantity: int) -> dict[str, Any] | None:
    if stored is None:
        return {"book_id": book, "title": None, "reason": "not_listed", "quantity": quantity, "left": 0}
    reason = obstacle_to_sale(stored.book, stored.stock, quantity)
    if reason is None:
        return None
    return {
        "book_id": book,
        "title": stored.book.title,
        "reason": reason,
        "quantity": quantity,
        "left": max(stored.stock, 0),
    }


def _explain_line(line: Mapping[str, Any]) -> Conflict:
    title = str(line["title"] or line["book_id"])
    reason = explain_obstacle(line["book_id"], line["title"], line["reason"], asked=line["quantity"], left=line["left"])
    return Conflict(f"{title} is not for sale as it is in the cart", field="cart", reason=reason)


def _build_actions(
    cart: Cart, purchase: Purchase, key: str, digest: str, offers: Sequence[Condition]
) -> Sequence[Action]:
    """Returns the actions of a checkout; `offers` are the conditions of the books, in the order of the lines."""
    new = Condition(exists=False)
    checkout = {
        "user": purchase.user,
        "key": key,
        "purchase": purchase.purchase,
        "digest": digest,
        "expires": int(time.time()) + _KEY_SECONDS,
    }
    actions: list[Action] = [
        Put(CHECKOUTS.name, checkout, new),
        Delete(CARTS.name, {"user": purchase.user}, Condition(version=cart.version)),
        Put(PURCHASES.name, purchase_item(purchase), new),
    ]
    taken = {"cause": Cause.ORDER.value, "reference": purchase.purchase, "changed": purchase.created_at}
    for item, offer in zip(purchase.items, offers, strict=True):
        enough = Condition(at_least={"count": item.quantity})
        actions.append(Check(BOOKS.name, {"book": item.book_id}, offer))
        actions.append(
            Update(
                STOCK.name,
                stock_key(item.book_id),
                set=taken,
                remove=["orders"],
                add={"count": -item.quantity},
                when=enough,
            )
        )
    return actions
