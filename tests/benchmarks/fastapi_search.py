"""The peer of the search of books that a team would write: FastAPI over an FTS5 index of SQLite.

It has the filters and the disjunctive facets of ours, and no tolerance for typing errors. The benchmark makes its file.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiosqlite
from fastapi import FastAPI, Query
from pydantic import BaseModel

_FACETS = ("category", "language", "band")


class Book(BaseModel):
    """A book."""

    id: str
    isbn: str | None
    title: str
    author: str
    editorial: str
    category: str
    subcategory: str
    price: float
    description: str
    stock: int
    year: int | None
    language: str
    rating: float


class Value(BaseModel):
    """How many books have a value."""

    value: str
    count: int


class Page(BaseModel):
    """A page of books."""

    data: list[Book]
    total: int
    facets: dict[str, list[Value]]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the database."""
    async with aiosqlite.connect(os.environ["BOOKS_DB"]) as database:
        await database.execute("PRAGMA mmap_size = 1000000000")
        database.row_factory = aiosqlite.Row
        app.state.database = database
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/books/search")
async def search(
    q: str,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    price_to: float | None = None,
    language: str | None = None,
) -> Page:
    """Books with all words."""
    words = " ".join(f'"{word}"' for word in re.findall(r"\w+", q))
    filters: dict[str, tuple[str, Any]] = {}
    if price_to is not None:
        filters["band"] = ("b.price <= ?", round(price_to * 100))
    if language is not None:
        filters["language"] = ("b.language = ?", language)
    matched = "FROM words w JOIN books b ON b.rowid = w.rowid WHERE words MATCH ?"
    where, values = matched, [words]
    for condition, value in filters.values():
        where += f" AND {condition}"
        values.append(value)
    database = app.state.database
    rows = await database.execute_fetchall(f"SELECT b.* {where} ORDER BY bm25(words) LIMIT ?", [*values, limit])
    ((total,),) = await database.execute_fetchall(f"SELECT COUNT(*) {where}", values)
    counted: dict[str, list[Value]] = {}
    for dimension in _FACETS:
        where, values = matched, [words]
        for name, (condition, value) in filters.items():
            if name != dimension:
                where += f" AND {condition}"
                values.append(value)
        query = f"SELECT b.{dimension}, COUNT(*) AS n {where} GROUP BY 1 ORDER BY n DESC LIMIT 50"
        found = await database.execute_fetchall(query, values)
        counted[dimension] = [Value(value=str(value), count=count) for value, count in found]
    return Page(data=[_show(row) for row in rows], total=total, facets=counted)


def _show(row: Any) -> Book:
    return Book(**{**dict(row), "price": row["price"] / 100})
