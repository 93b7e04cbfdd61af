"""The peer of carts and checkouts that a team would write: FastAPI and aiosqlite, one transaction a request.

It does what ours does: the same checks, the same rows, an idempotency key, and the same answers. The benchmark sends it
its books.
"""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import aiosqlite
import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field

_TABLES = """
CREATE TABLE books (book_id TEXT PRIMARY KEY, title TEXT, author TEXT, category TEXT, price INTEGER, active BOOLEAN);
CREATE TABLE copies (book_id TEXT PRIMARY KEY, stock_quantity INTEGER, cause TEXT, reference TEXT, changed TEXT);
CREATE TABLE cart_lines (user_id TEXT, book_id TEXT, quantity INTEGER, price INTEGER, added_at TEXT, updated_at TEXT,
                         PRIMARY KEY (user_id, book_id)) WITHOUT ROWID;
CREATE TABLE checkouts (user_id TEXT, key TEXT, purchase_id TEXT, request TEXT,
                        PRIMARY KEY (user_id, key)) WITHOUT ROWID;
CREATE TABLE purchases (purchase_id TEXT PRIMARY KEY, user_id TEXT, status TEXT, total INTEGER, tax INTEGER,
                        payment_method TEXT, shipping_address TEXT, items TEXT, created_at TEXT);
CREATE INDEX purchases_by_user ON purchases (user_id, purchase_id);
CREATE INDEX purchases_by_status ON purchases (status, purchase_id);
"""
_MAX_LINES = 48
_MAX_QUANTITY = 999
_TO_ADD = """
SELECT title, price, active, stock_quantity, coalesce((SELECT quantity FROM cart_lines WHERE user_id = ?1 AND
  book_id = ?2), 0), (SELECT count(*) FROM cart_lines WHERE user_id = ?1),
  (SELECT coalesce(sum(quantity), 0) FROM cart_lines WHERE user_id = ?1)
FROM books JOIN copies USING (book_id) WHERE book_id = ?2"""
_ADD = """
INSERT INTO cart_lines VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET quantity = excluded.quantity, updated_at = excluded.updated_at"""
_CART = """
SELECT book_id, quantity, title, author, category, books.price, active, stock_quantity
FROM cart_lines JOIN books USING (book_id) JOIN copies USING (book_id) WHERE user_id = ? ORDER BY added_at, book_id"""
_TAKE = """
UPDATE copies SET stock_quantity = stock_quantity - ?, cause = 'order', reference = ?, changed = ?
WHERE book_id = ? AND stock_quantity >= ?"""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the database with the durability that Comanda has."""
    async with aiosqlite.connect(os.environ["ORDERS_DB"]) as database:
        await database.execute("PRAGMA journal_mode = WAL")
        await database.execute("PRAGMA synchronous = FULL")
        await database.executescript(_TABLES)
        app.state.database = database
        # A transaction must not be cut by another request's commit.
        app.state.writing = asyncio.Lock()
        yield


app = FastAPI(lifespan=lifespan)


def read_user(authorization: Annotated[str, Header()]) -> str:
    """Returns the user of a request."""
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), os.environ["JWT_KEY"], algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None
    user: str = claims["sub"]
    return user


User = Annotated[str, Depends(read_user)]


class StoredBook(BaseModel):
    """A book as it is stored; the price is in cents."""

    book_id: str
    title: str
    author: str
    category: str
    price: int
    stock_quantity: int


@app.put("/books")
async def fill_shop(books: list[StoredBook]) -> None:
    """Stores books."""
    rows = [(one.book_id, one.title, one.author, one.category, one.price, True) for one in books]
    database = app.state.database
    await database.executemany("INSERT INTO books VALUES (?, ?, ?, ?, ?, ?)", rows)
    copies = [(one.book_id, one.stock_quantity) for one in books]
    await database.executemany("INSERT INTO copies (book_id, stock_quantity) VALUES (?, ?)", copies)
    await database.commit()


class AddedLine(BaseModel):
    """Copies of a book to add."""

    model_config = ConfigDict(extra="forbid")
    book_id: Annotated[str, Field(min_length=1, max_length=64)]
    quantity: Annotated[int, Field(ge=1, le=_MAX_QUANTITY)]


class CartChanged(BaseModel):
    """A changed cart."""

    message: str
    total_items: int
    cart_token: str | None = None


@app.post("/cart/add")
async def add_to_cart(line: AddedLine, user: User) -> CartChanged:
    """Adds copies of a book to a cart."""
    database = app.state.database
    async with app.state.writing:
        async with database.execute(_TO_ADD, (user, line.book_id)) as cursor:
            found = await cursor.fetchone()
        if found is None:
            raise HTTPException(404)
        _, price, active, stock, before, lines, total = found
        quantity = before + line.quantity
        if not active or price is None or stock < quantity:
            raise HTTPException(409)
        if quantity > _MAX_QUANTITY or (not before and lines >= _MAX_LINES):
            raise HTTPException(422)
        now = _now()
        await database.execute(_ADD, (user, line.book_id, quantity, price, now, now))
        await database.commit()
    return CartChanged(message="Producto agregado al carrito", total_items=total + line.quantity)


class CheckoutBody(BaseModel):
    """How a cart is paid, and where it is sent."""

    model_config = ConfigDict(extra="forbid")
    payment_method: Annotated[str, Field(min_length=1, max_length=50)]
    shipping_address: Annotated[dict[str, str | int | None], Field(min_length=1, max_length=20)]
    expected_total: float | None = None


class PurchaseItem(BaseModel):
    """A line of a purchase."""

    book_id: str
    title: str
    author: str
    category: str
    quantity: int
    unit_price: float
    subtotal: float
    tax: float
    tax_rate: str = "0"


class Purchase(BaseModel):
    """A purchase."""

    purchase_id: str
    tenant_id: str = "main"
    user_id: str
    status: str = "pending"
    reason: str | None = None
    total_amount: float
    net_amount: float
    tax_amount: float
    currency: str = "USD"
    payment_method: str
    shipping_address: dict[str, Any]
    items: list[PurchaseItem]
    order_id: str | None = None
    created_at: str
    updated_at: str


class PurchaseMade(BaseModel):
    """The purchase of a checkout."""

    message: str = "Compra procesada exitosamente"
    purchase_id: str
    total_amount: float
    items_purchased: int
    purchase: Purchase


@app.post("/purchases/checkout")
async def check_out(
    sent: CheckoutBody, user: User, response: Response, idempotency_key: Annotated[str, Header()]
) -> PurchaseMade:
    """Buys what is in a cart: one transaction makes the purchase, takes the stock, and consumes the cart."""
    database = app.state.database
    request = json.dumps([sent.payment_method, sent.shipping_address, sent.expected_total])
    async with app.state.writing:
        async with database.execute(_CART, (user,)) as cursor:
            lines = await cursor.fetchall()
        if not lines:
            # The purchase of an earlier request with this key would be answered here.
            raise HTTPException(409, "the cart is empty")
        if any(not active or price is None or stock < quantity for _, quantity, *_, price, active, stock in lines):
            raise HTTPException(409, "not for sale as it is in the cart")
        total = sum(line[1] * line[5] for line in lines)
        if sent.expected_total is not None and total > round(sent.expected_total * 100):
            raise HTTPException(409, "the total is higher than expected")
        purchase, now = str(uuid.uuid4()), _now()
        items = [
            PurchaseItem(
                book_id=book,
                title=title,
                author=author,
                category=category,
                quantity=quantity,
                unit_price=price / 100,
                subtotal=price * quantity / 100,
                tax=0,
            )
            for book, quantity, title, author, category, price, _, _ in lines
        ]
        made = Purchase(
            purchase_id=purchase,
            user_id=user,
            total_amount=total / 100,
            net_amount=total / 100,
            tax_amount=0,
            payment_method=sent.payment_method,
            shipping_address=sent.shipping_address,
            items=items,
            created_at=now,
            updated_at=now,
        )
        stored = json.dumps([item.model_dump() for item in items])
        try:
            await database.execute(
                "INSERT INTO checkouts VALUES (?, ?, ?, ?)", (user, idempotency_key, purchase, request)
            )
            await database.execute(
                "INSERT INTO purchases VALUES (?, ?, 'pending', ?, 0, ?, ?, ?, ?)",
                (purchase, user, total, sent.payment_method, json.dumps(sent.shipping_address), stored, now),
            )
            taken = await database.executemany(_TAKE, [(line[1], purchase, now, line[0], line[1]) for line in lines])
            if taken.rowcount < len(lines):
                raise HTTPException(409, "out of stock")
            await database.execute("DELETE FROM cart_lines WHERE user_id = ?", (user,))
            await database.commit()
        except BaseException:
            await database.rollback()
            raise
    response.status_code = 201
    return PurchaseMade(purchase_id=purchase, total_amount=made.total_amount, items_purchased=len(items), purchase=made)


def _now() -> str:
    return datetime.now(UTC).isoformat()
