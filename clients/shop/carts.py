"""Carts of a shop's customers and guests: read, changed, and merged when a guest signs in.

All functions take the client's view of one tenant, `PersistenceClient.of`, and the owner of the cart: the id of a user,
or `shared.domain.carts.guest_owner`. With `seen`, the version of the cart that the client has seen, a change of another
version raises PreconditionFailed.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from clients.errors import Refused
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient
from clients.shop.books import StoredBook, get_book, get_books, stock_key
from clients.shop.recent import RecentTenantShop
from shared.domain.books import Obstacle, is_for_sale, obstacle_to_sale
from shared.domain.carts import (
    GUEST_SECONDS,
    MAX_LINES,
    MAX_QUANTITY,
    Cart,
    CartLine,
    guest_owner,
    line_member,
    line_members,
    merge_carts,
    read_cart,
)
from shared.domain.errors import Conflict, ErrorReason, InvalidParams, PreconditionFailed
from shared.domain.records import Action, Check, Condition, Delete, Update
from shared.domain.tables import BOOKS, CARTS, STOCK
from shared.runtime.clock import iso_now

_ATTEMPTS: Final = 20
_GUEST: Final = guest_owner("")


class CartBooks(NamedTuple):
    """A cart and the books of its lines, None where the shop has no record of a book."""

    cart: Cart
    books: Sequence[StoredBook | None]


class Merge(NamedTuple):
    """A merged cart, the number of lines that came from the other one, and the books that found no room."""

    cart: Cart
    merged: int
    left_out: Sequence[str]


async def load_cart(records: PersistenceClient, owner: str) -> Cart:
    """Returns a cart, an empty one of version 0 if nothing is stored."""
    stored = await records.get_item(CARTS.name, {"user": owner})
    return read_cart(owner, stored.item, stored.version)


async def attach_cart_books(records: PersistenceClient, cart: Cart) -> CartBooks:
    """Returns a cart with its books."""
    return CartBooks(cart, await get_books(records, list(cart.lines)))


async def add_to_cart(
    records: PersistenceClient,
    owner: str,
    book: str,
    quantity: int,
    *,
    seen: int | None = None,
    recent: RecentTenantShop | None = None,
) -> Cart:
    """Adds copies of a book to a cart, in one request if `recent` has the book.

    Raises NotFound for a book that is not listed, Conflict if not so many copies are for sale, and InvalidParams
    beyond the limits of a cart.
    """
    if recent is None:
        return await _change_line(records, owner, book, quantity, added=True, seen=seen)
    cart = await _add_to_recent(recent, owner, book, quantity, seen)
    if cart is None:
        cart = await _change_line(records, owner, book, quantity, added=True, seen=seen, recent=recent)
    return cart


async def set_quantity(
    records: PersistenceClient, owner: str, book: str, quantity: int, *, seen: int | None = None
) -> Cart:
    """Sets the copies of a book in a cart, which may not have had it. Raises as `add_to_cart`."""
    return await _change_line(records, owner, book, quantity, added=False, seen=seen)


async def remove_from_cart(records: PersistenceClient, owner: str, book: str, *, seen: int | None = None) -> Cart:
    """Removes a book from a cart, if it is there."""
    for _ in range(_ATTEMPTS):
        cart = await load_cart(records, owner)
        _check_seen(cart, seen)
        if book not in cart.lines:
            return cart
        change = Update(
            CARTS.name,
            {"user": owner},
            set=_touch(owner),
            remove=[line_member(book)],
            add={"lines": -1},
            when=_condition(cart, book, seen),
        )
        if (changed := await _write(records, owner, change)) is not None:
            return changed
    raise _busy()


async def clear_cart(records: PersistenceClient, owner: str, *, seen: int | None = None) -> None:
    """Removes all lines of a cart."""
    if seen is None:
        await records.delete_item(CARTS.name, {"user": owner})
        return
    try:
        await records.delete_item(CARTS.name, {"user": owner}, when=Condition(version=seen))
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        raise _changed() from None


async def merge_guest_cart(records: PersistenceClient, guest: str, user: str) -> Merge:
    """Moves the lines of a guest's cart to the user's in one transaction, which also removes the guest's cart.

    Quantities of the same book add up, to the limit. Doing it again changes nothing.
    """
    for _ in range(_ATTEMPTS):
        other, cart = await asyncio.gather(load_cart(records, guest), load_cart(records, user))
        if not other.lines:
            return Merge(cart, 0, ())
        now = iso_now()
        merged = merge_carts(cart, other, now)
        members = {**line_members(merged.lines.items()), "lines": len(merged.lines), "updated_at": now}
        actions: list[Action] = [
            Delete(CARTS.name, {"user": guest}, Condition(version=other.version)),
            Update(CARTS.name, {"user": user}, set=members, when=Condition(version=cart.version)),
        ]
        try:
            # A second attempt after a lost answer is refused, and finds no guest's cart.
            written = await records.transact(actions, safe=True)
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            continue
        moved = len(other.lines) - len(merged.left_out)
        return Merge(read_cart(user, written[1].item, written[1].version), moved, merged.left_out)
    raise _busy()


async def _add_to_recent(
    recent: RecentTenantShop, owner: str, book: str, quantity: int, seen: int | None
) -> Cart | None:
    """Adds copies of a book to the cart as it was, or to one that does not have the book, without reading first.

    Returns None if that cannot be, or if cart, book or stock are not as they were: then nothing has changed.
    """
    stored, cart = recent.find_book(book), recent.find_cart(owner) or Cart(owner, 0, {})
    line = cart.lines.get(book)
    total = quantity + (0 if line is None else line.quantity)
    if stored is None or not is_for_sale(stored.book, total, total) or total > MAX_QUANTITY:
        return None
    change = _build_change(cart, stored, total, seen)
    as_it_was, enough = Condition(version=stored.version), Condition(at_least={"count": total})
    try:
        written, *_ = await recent.client.transact(
            [change, Check(BOOKS.name, {"book": book}, as_it_was), Check(STOCK.name, stock_key(book), enough)]
        )
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        recent.forget_cart(owner)
        recent.forget_book(book)
        return None
    return read_cart(owner, written.item, written.version)


async def _change_line(
    records: PersistenceClient,
    owner: str,
    book: str,
    quantity: int,
    *,
    added: bool,
    seen: int | None,
    recent: RecentTenantShop | None = None,
) -> Cart:
    for _ in range(_ATTEMPTS):
        stored, cart = await asyncio.gather(get_book(records, book), load_cart(records, owner))
        if recent is not None:
            recent.keep_book(stored)
        _check_seen(cart, seen)
        line = cart.lines.get(book)
        total = quantity + (line.quantity if added and line is not None else 0)
        _check_sale(stored, total)
        if line is None and len(cart.lines) >= MAX_LINES:
            raise InvalidParams(
                f"a cart has at most {MAX_LINES} different books",
                field="book_id",
                hint="buy these first",
                reason=ErrorReason("cart_full", max=MAX_LINES),
            )
        if (written := await _write(records, owner, _build_change(cart, stored, total, seen))) is not None:
            return written
    raise _busy()


def _build_change(cart: Cart, stored: StoredBook, quantity: int, seen: int | None) -> Update:
    """Returns the change that sets the copies of a book in a cart, on the condition that its line is as it was."""
    book, now = stored.book.book, iso_now()
    line = cart.lines.get(book)
    if line is None:
        changed = CartLine(quantity, now, now, stored.book.price)
    else:
        changed = msgspec.structs.replace(line, quantity=quantity, updated_at=now)
    return Update(
        CARTS.name,
        {"user": cart.owner},
        set={**line_members([(book, changed)]), **_touch(cart.owner)},
        add={"lines": 1} if line is None else {},
        when=_condition(cart, book, seen),
    )


async def _write(records: PersistenceClient, owner: str, change: Update) -> Cart | None:
    """Returns the cart after a change; None if another client has changed the same line."""
    try:
        (written,) = await records.transact([change])
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        return None
    return read_cart(owner, written.item, written.version)


def _condition(cart: Cart, book: str, seen: int | None) -> Condition:
    """Returns the condition of a change of one line: that line is as it was read, and a new one finds room."""
    line = cart.lines.get(book)
    if line is None:
        room = {"lines": MAX_LINES - 1}
        return Condition(version=seen, absent=[line_member(book)], at_most=room)
    return Condition(version=seen, equal=line_members([(book, line)]))


def _check_sale(stored: StoredBook, quantity: int) -> None:
    if quantity > MAX_QUANTITY:
        raise InvalidParams(
            f"a cart has at most {MAX_QUANTITY} copies of a book",
            field="quantity",
            reason=ErrorReason("maximum", max=MAX_QUANTITY),
        )
    obstacle = obstacle_to_sale(stored.book, stored.stock, quantity)
    if obstacle is None:
        return
    left = max(stored.stock, 0)
    details = {"cart": {"reason": obstacle, "book_id": stored.book.book, "left": stored.stock}}
    reason = explain_obstacle(stored.book.book, stored.book.title, obstacle, asked=quantity, left=left)
    if obstacle == "out_of_stock":
        raise Conflict(
            f"{stored.book.title}: {left} in stock, {quantity} wanted",
            field="quantity",
            hint="take fewer, or put it on the wishlist",
            reason=reason,
            details=details,
        )
    raise Conflict(f"{stored.book.title} is not for sale", field="book_id", reason=reason, details=details)


def explain_obstacle(book: str, title: str | None, obstacle: Obstacle, *, asked: int, left: int) -> ErrorReason:
    """Returns the reason why `asked` copies of a book cannot be bought."""
    if obstacle == "out_of_stock":
        return ErrorReason("out_of_stock", book_id=book, title=title, asked=asked, left=left)
    return ErrorReason("not_for_sale", book_id=book, title=title, reason=obstacle)


def _touch(owner: str) -> dict[str, Any]:
    """Returns the members that every change of a cart sets."""
    touched: dict[str, Any] = {"updated_at": iso_now()}
    if owner.startswith(_GUEST):
        touched["expires"] = int(time.time()) + GUEST_SECONDS
    return touched


def _check_seen(cart: Cart, seen: int | None) -> None:
    if seen is not None and seen != cart.version:
        raise _changed()


def _changed() -> PreconditionFailed:
    return PreconditionFailed(
        "the cart was changed elsewhere",
        field="If-Match",
        hint="look at it again, and repeat the change",
        reason=ErrorReason("cart_changed"),
    )


def _busy() -> Conflict:
    return Conflict("other clients keep changing the cart", hint="try again later", reason=ErrorReason("busy"))
