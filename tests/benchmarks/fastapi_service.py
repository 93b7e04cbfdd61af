"""The peer that a team would write: the same validation, the same commit, one order a request."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiosqlite
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

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
        app.state.database = database
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders")
async def accept(order: Order) -> dict[str, Any]:
    """Stores an order and answers."""
    order_id = str(uuid.uuid4())
    await app.state.database.execute("INSERT INTO orders VALUES (?, ?)", (order_id, order.model_dump_json()))
    await app.state.database.commit()
    return {"success": True, "id": order_id, "estado": "en cola"}
