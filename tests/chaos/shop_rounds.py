"""Rounds that break the suite while customers buy books: each purchase once, with one order and one end."""

import contextlib
import itertools
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from shared.domain.isbn import complete_isbn
from shared.domain.purchases import parse_request_id
from tests.chaos.chaos import Chaos, Outcome
from tests.chaos.history import Findings
from tests.chaos.shop_load import API, Customer
from tests.support.http import Http
from tests.support.in_process import JWT_KEYS
from tests.support.intake import (
    LOOK_SECONDS,
    DistributedProcess,
    GatewayProcess,
    IntakeProcess,
    PersistenceProcess,
    ServerProcess,
    ShopProcess,
)

# `make chaos` has more.
_CHECKOUTS = int(os.environ.get("SHOP_CHECKOUTS", "48"))
_KILLED_EVERY = 8
_CUSTOMERS = 4
_STOCK = (10_000, 10_000, 10_000, 20)
"""Copies of each book; the last one is sold out soon."""
_HANDLER = "services.shop.fulfilling:Fulfilling"


class _Suite(NamedTuple):
    intake: IntakeProcess
    persistence: PersistenceProcess
    distributed: DistributedProcess
    shop: ShopProcess
    gateway: GatewayProcess


def shop_killed_in_turn(chaos: Chaos) -> None:
    """Each server of the suite, and a worker, is killed in turn during checkouts, and started again."""
    with _open_suite(chaos) as suite:
        books = _add_books(Http(suite.gateway))
        each = _CHECKOUTS * chaos.scale // _CUSTOMERS
        seed = chaos.dice.randrange(1_000_000)
        customers = [Customer(suite.gateway, number, books, checkouts=each, seed=seed) for number in range(_CUSTOMERS)]
        for customer in customers:
            customer.start()
        _kill_in_turn(chaos, suite, customers)
        for customer in customers:
            customer.join()
        faults = [fault for customer in customers for fault in customer.faults]
        purchases = _wait_for_ends(customers, faults, seconds=chaos.patience)
        answered = {key: ids for customer in customers for key, ids in customer.answered.items()}
        findings = Findings(len(answered), 0, [], [], [], [], [], faults, {})
        _examine_purchases(answered, purchases, findings)
        _examine_orders(suite, purchases, findings, seconds=chaos.patience)
        _examine_stock(Http(suite.gateway), books, purchases, faults)
        chaos.outcome = Outcome(len(chaos.kills), findings, [])


@contextlib.contextmanager
def _open_suite(chaos: Chaos) -> Iterator[_Suite]:
    folder = chaos.folder / "data"
    persistence, distributed = PersistenceProcess(folder), DistributedProcess(folder)
    intake = IntakeProcess(folder, {"TCP_PERSIST_PORT": persistence.port, "ORDER_HANDLER": _HANDLER})
    shop = ShopProcess(folder, [persistence, intake, distributed], {"STAGE": "dev"})
    # The key of a gateway that is started again has to be that of the tokens that it has given.
    settings = {"JWT_KEYS": JWT_KEYS, "PASSWORD_MEMORY_KIB": 7168, "PASSWORD_ROUNDS": 1}
    gateway = GatewayProcess(folder, [persistence, intake, distributed], settings)
    with persistence, distributed, intake, shop, gateway:
        yield _Suite(intake, persistence, distributed, shop, gateway)


def _add_books(http: Http) -> list[str]:
    added = []
    for number, stock in enumerate(_STOCK):
        book = {
            "isbn": complete_isbn(f"978{number:09}"),
            "title": f"T{number}",
            "author": "A",
            "editorial": "E",
            "category": "C",
            "price": 12.9,
            "stock_quantity": stock,
        }
        reply = http.ask("POST", f"{API}/books", book)
        assert reply.status == 201, reply.body
        added.append(reply.json["book_id"])
    return added


def _kill_in_turn(chaos: Chaos, suite: _Suite, customers: Sequence[Customer]) -> None:
    """Kills a server after every few checkouts, and starts it again; every sixth time it is a worker."""
    servers: Sequence[ServerProcess | None] = [
        suite.gateway, suite.persistence, suite.shop, suite.intake, suite.distributed, None,
    ]  # fmt: skip
    for number in itertools.count(1):
        while sum(len(customer.answered) for customer in customers) < number * _KILLED_EVERY:
            if not any(customer.is_alive() for customer in customers):
                return
            time.sleep(LOOK_SECONDS)
        victim = servers[(number - 1) % len(servers)]
        if victim is None:
            chaos.kill(chaos.dice.choice(suite.intake.workers()))
        else:
            chaos.killed()
            victim.kill()
            victim.start()


def _wait_for_ends(customers: Sequence[Customer], faults: list[str], *, seconds: float) -> list[dict[str, Any]]:
    """Returns all purchases, once none is pending."""
    deadline = time.monotonic() + seconds
    while True:
        found = [purchase for customer in customers for purchase in customer.purchases()]
        pending = [purchase["purchase_id"] for purchase in found if purchase["status"] == "pending"]
        if not pending or time.monotonic() > deadline:
            if pending:
                faults.append(f"{len(pending)} purchases stay pending, such as {pending[0]}")
            return found
        time.sleep(LOOK_SECONDS)


def _examine_purchases(answered: dict[str, set[str]], purchases: Sequence[dict[str, Any]], findings: Findings) -> None:
    stored = Counter(purchase["purchase_id"] for purchase in purchases)
    for number, ids in enumerate(answered.values()):
        if len(ids) > 1 or any(stored[one] > 1 for one in ids):
            findings.doubled.append(number)
        if any(not stored[one] for one in ids):
            findings.lost.append(number)
    known = {one for ids in answered.values() for one in ids}
    findings.surplus += [number for number, one in enumerate(stored) if one not in known]


def _examine_orders(suite: _Suite, purchases: Sequence[dict[str, Any]], findings: Findings, *, seconds: float) -> None:
    """Each completed purchase has exactly one order, every other at most one, and no order is left open."""
    with suite.intake.connect() as session:
        session.wait_until("stats", "stats.abiertos", 0, seconds=seconds)
        orders: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = session.ask({"action": "list", "limite": 1000} | ({"cursor": cursor} if cursor else {}))
            orders += page["pedidos"]
            cursor = page.get("cursor")
            if cursor is None:
                break
    times: Counter[str] = Counter()
    for order in orders:
        ordered = parse_request_id(order["request_id"])
        assert ordered is not None, order
        times[ordered.purchase] += 1
    for number, purchase in enumerate(purchases):
        often = times[purchase["purchase_id"]]
        if often > 1:
            findings.doubled.append(number)
        if not often and purchase["status"] == "completed":
            findings.lost.append(number)


def _examine_stock(http: Http, books: Sequence[str], purchases: Sequence[dict[str, Any]], faults: list[str]) -> None:
    sold: Counter[str] = Counter()
    for purchase in purchases:
        if purchase["status"] != "cancelled":
            for item in purchase["items"]:
                sold[item["book_id"]] += item["quantity"]
    for book, start in zip(books, _STOCK, strict=True):
        left = http.ask("GET", f"{API}/books/{book}").json["stock_quantity"]
        if left + sold[book] != start:
            faults.append(f"{left} copies left and {sold[book]} sold are not the {start} of the start")


SHOP_ROUNDS = (shop_killed_in_turn,)
