"""The peer that a team would write: the same validation, the same commit, one order a request."""

import asyncio
import datetime
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiosqlite
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

_COLUMNS = ("id", "title", "description", "completed", "created_at", "updated_at")
_BOOK_COLUMNS = (
    *("isbn", "title", "author", "editorial", "category", "subcategory", "price", "description", "cover_image_url"),
    *("publication_year", "language", "pages", "rating", "ratings", "created_at", "updated_at"),
)
_BOOKS = f"SELECT book_id, {', '.join(_BOOK_COLUMNS)}, stock_quantity FROM books JOIN copies USING (book_id)"
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]


class Item(BaseModel):
    """A product with its quantity."""

    model_config = ConfigDict(extra="forbid")
    producto: Name
    cantidad: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Order(BaseModel):
    """An order."""

    model_config = ConfigDict(extra="forbid")
    cliente: Name
    productos: Annotated[list[Name | Item], Field(min_length=1, max_length=1000)]
    direccion: Name


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the database with the durability that Comanda has."""
    async with aiosqlite.connect(os.environ["ORDERS_DB"]) as database:
        await database.execute("PRAGMA journal_mode = WAL")
        await database.execute("PRAGMA synchronous = FULL")
        await database.execute("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, body TEXT)")
        await database.execute("CREATE TABLE IF NOT EXISTS records (id TEXT PRIMARY KEY, body TEXT)")
        await database.execute(
            "CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, title TEXT, description TEXT, completed BOOLEAN, "
            "created_at TEXT, updated_at TEXT)"
        )
        await database.execute(
            "CREATE TABLE IF NOT EXISTS items (store TEXT, item TEXT, count INTEGER, version INTEGER, changed TEXT, "
            "PRIMARY KEY (store, item)) WITHOUT ROWID"
        )
        await database.execute(
            f"CREATE TABLE IF NOT EXISTS books (book_id TEXT PRIMARY KEY, {', '.join(_BOOK_COLUMNS)})"
        )
        await database.execute("CREATE TABLE IF NOT EXISTS copies (book_id TEXT PRIMARY KEY, stock_quantity INTEGER)")
        await database.execute("CREATE TABLE IF NOT EXISTS log (id TEXT PRIMARY KEY, record TEXT, details TEXT)")
        app.state.database = database
        # A transaction of two statements must not be cut by another request's commit.
        app.state.writing = asyncio.Lock()
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders")
async def accept(order: Order) -> dict[str, Any]:
    """Stores an order and answers."""
    order_id = str(uuid.uuid4())
    await app.state.database.execute("INSERT INTO orders VALUES (?, ?)", (order_id, order.model_dump_json()))
    await app.state.database.commit()
    return {"success": True, "id": order_id, "estado": "en cola"}


class NewTask(BaseModel):
    """A task as it is sent in."""

    model_config = ConfigDict(extra="forbid")
    title: Annotated[str, Field(min_length=1, max_length=200)]
    description: Annotated[str, Field(max_length=10_000)] = ""
    completed: bool = False


class Task(NewTask):
    """A task."""

    id: str
    created_at: datetime.datetime
    updated_at: datetime.datetime


@app.post("/tasks")
async def add(task: NewTask) -> Task:
    """Stores a task and answers."""
    now = datetime.datetime.now(datetime.UTC)
    stored = Task(id=str(uuid.uuid4()), created_at=now, updated_at=now, **task.model_dump())
    row = (stored.id, stored.title, stored.description, stored.completed, now.isoformat(), now.isoformat())
    await app.state.database.execute("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)", row)
    await app.state.database.commit()
    return stored


@app.get("/tasks/{task_id}")
async def show(task_id: str) -> Task:
    """One task."""
    async with app.state.database.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)) as cursor:
        row = await cursor.fetchone()
    if row is None:
        raise HTTPException(404)
    return Task(**dict(zip(_COLUMNS, row, strict=True)))


class StockItem(BaseModel):
    """How many there are of an item in a store."""

    store: str
    item: str
    count: int
    low: bool
    version: int
    changed: str


class StockPage(BaseModel):
    """Items of a store, and where the next page begins."""

    items: list[StockItem]
    cursor: str | None


@app.put("/items/{store}")
async def fill(store: str, rows: list[StockItem]) -> dict[str, int]:
    """Stores items."""
    found = [(store, row.item, row.count, row.version, row.changed) for row in rows]
    await app.state.database.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)", found)
    await app.state.database.commit()
    return {"rows": len(found)}


@app.get("/items/{store}")
async def stock(store: str, limit: int = 100, cursor: str = "") -> StockPage:
    """A page of a store's items."""
    query = "SELECT store, item, count, version, changed FROM items WHERE store = ? AND item > ? ORDER BY item LIMIT ?"
    async with app.state.database.execute(query, (store, cursor, limit)) as found:
        rows = [
            StockItem(store=store, item=item, count=count, low=count < 5, version=version, changed=changed)
            async for store, item, count, version, changed in found
        ]
    return StockPage(items=rows, cursor=rows[-1].item if len(rows) == limit else None)


class StoredBook(BaseModel):
    """A book as it is stored; the price is in cents."""

    book_id: str
    isbn: str | None
    title: str
    author: str
    editorial: str
    category: str
    subcategory: str
    price: int | None
    description: str
    cover_image_url: str
    publication_year: int | None
    language: str
    pages: int | None
    rating: float
    ratings: int
    created_at: str
    updated_at: str
    stock_quantity: int


class Book(StoredBook):
    """A book as it is shown."""

    tenant_id: str = "main"
    price: float | None  # type: ignore[assignment]
    currency: str = "USD"
    thumbnail_url: str
    available: bool
    reason: str | None
    is_active: bool = True


class BookPage(BaseModel):
    """Books, newest first, and how many there are."""

    data: list[Book]
    pagination: dict[str, int]


@app.put("/books")
async def fill_shop(books: list[StoredBook]) -> dict[str, int]:
    """Stores books."""
    database, places = app.state.database, ", ".join("?" * (len(_BOOK_COLUMNS) + 1))
    rows = [(book.book_id, *(getattr(book, name) for name in _BOOK_COLUMNS)) for book in books]
    await database.executemany(f"INSERT INTO books VALUES ({places})", rows)
    await database.executemany("INSERT INTO copies VALUES (?, ?)", [(one.book_id, one.stock_quantity) for one in books])
    await database.commit()
    return {"books": len(books)}


@app.get("/books/{book_id}")
async def show_book(book_id: str) -> Book:
    """One book with its copies."""
    async with app.state.database.execute(f"{_BOOKS} WHERE book_id = ?", (book_id,)) as cursor:
        row = await cursor.fetchone()
    if row is None:
        raise HTTPException(404)
    return _read_book(row)


@app.get("/books")
async def list_books(limit: int = 20, page: int = 1) -> BookPage:
    """A page of books."""
    query = f"{_BOOKS} ORDER BY book_id DESC LIMIT ? OFFSET ?"
    async with app.state.database.execute(query, (limit, (page - 1) * limit)) as cursor:
        books = [_read_book(row) async for row in cursor]
    async with app.state.database.execute("SELECT count(*) FROM books") as cursor:
        (total,) = await cursor.fetchone()
    return BookPage(data=books, pagination={"current_page": page, "total_items": total, "items_per_page": limit})


def _read_book(row: Any) -> Book:
    members = dict(zip(("book_id", *_BOOK_COLUMNS, "stock_quantity"), row, strict=True))
    price, stock = members.pop("price"), members["stock_quantity"]
    reason = "no_price" if price is None else None if stock else "out_of_stock"
    return Book(
        **members,
        price=None if price is None else price / 100,
        thumbnail_url=members["cover_image_url"],
        available=reason is None,
        reason=reason,
    )


class Record(BaseModel):
    """What is kept of a branch office."""

    model_config = ConfigDict(extra="allow")
    cp: str


@app.put("/records/{record_id}")
async def put(record_id: str, record: Record) -> dict[str, Any]:
    """Stores a record and an entry of the log in one transaction, and answers."""
    database, body = app.state.database, record.model_dump_json()
    async with app.state.writing:
        await database.execute("INSERT INTO log VALUES (?, ?, ?)", (str(uuid.uuid4()), record_id, body))
        await database.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (record_id, body))
        await database.commit()
    return {"success": True, "id": record_id}
