"""Whatever any port or route shows before a move is shown after it; and what happens in between is counted once."""

import base64
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import services.distributed.actions
import services.intake.actions
import services.persistence.actions
from tests.integration.clients.test_migrate import LATER, migrate
from tests.support.dynamodb import own_tables, settings_of
from tests.support.http import Http
from tests.support.intake import (
    DistributedProcess,
    GatewayProcess,
    IntakeProcess,
    InventoryProcess,
    PersistenceProcess,
    ServerProcess,
    Session,
)
from tests.support.waiting import until

KITCHEN = {"ORDER_HANDLER": "tests.support.kitchens:fussy", "MAX_ATTEMPTS": "1"}
ORDER = {"cliente": "Ana", "productos": ["pan", {"producto": "agua", "cantidad": 2}], "direccion": "Mayor 1"}
TABLES = {"Scores": 7, "Users": 7, "Tasks": None, "Stock": "Berlin", "Stores": "Berlin", "StockAlerts": "Berlin"}

BOOK = {
    "isbn": "9780439023481",
    "title": "The Hunger Games",
    "author": "Collins",
    "editorial": "Scholastic",
    "category": "novels",
    "price": 12.9,
    "stock_quantity": 3,
}

PERSON = {
    "email": "ana@example.com",
    "password": "siete gatos verdes",
    "first_name": "Ana",
    "last_name": "Paz",
    "tenant_id": "main",
}
ADDRESS = {"name": "Ana Paz", "street": "Mayor 1", "city": "Oviedo", "country": "ES"}
KEYS = {"JWT_KEYS": f"a:{base64.b64encode(bytes(range(32))).decode()}"}
"""With the same keys a token is good after the move, as is its session."""

# What is about the running process and not about what is stored, and what changes something.
NOT_SHOWN = {"authenticate", "help", "ping", "health", "metrics", "quit", "watch", "unwatch", "unsubscribe"}
CHANGING = {"set", "delete", "save_score", "put_item", "delete_item", "update_item", "transact", "batch"}
CHANGING |= {"cancel", "retry", "add_notification", "mark_read"}
ROUTES_NOT_SHOWN = {
    "/",
    "/docs",
    "/health",
    "/metrics",
    "/openapi.json",
    "/ready",
    "/api/v1/events",
    "/api/v1/purchases/{id}/events",
}


DISTRIBUTED_ACTIONS = set(services.distributed.actions.ACTIONS.actions)
INTAKE_ACTIONS = set(services.intake.actions.ACTIONS.actions)
PERSISTENCE_ACTIONS = set(services.persistence.actions.ACTIONS.actions)
THERE = {"order.accepted": 23, "order.started": 21, "order.finished": 20, "order.failed": 1, "order.cancelled": 1}
BETWEEN = {"order.accepted": 6, "order.started": 6, "order.finished": 5, "order.failed": 1, "order.cancelled": 2}


@pytest.fixture
def settings(dynamodb: str) -> dict[str, str]:
    """Those of servers on tables that are nobody else's."""
    return {**settings_of(own_tables(dynamodb)), "SERVER_LEASE_SECONDS": "1", "STORE_SECONDS": "60"}


@contextlib.contextmanager
def suite(folder: Path, settings: dict[str, str] | None = None) -> Iterator[dict[str, ServerProcess]]:
    """The servers on a folder; on DynamoDB there is no distributed service."""
    chosen = {**KITCHEN, **(settings or {})}
    servers: dict[str, ServerProcess] = {
        "intake": IntakeProcess(folder, chosen),
        "persistence": PersistenceProcess(folder, chosen),
    }
    if settings is None:
        servers["distributed"] = DistributedProcess(folder, chosen)
    with contextlib.ExitStack() as stack:
        for server in servers.values():
            stack.callback(server.kill_if_alive)
            stack.enter_context(server)
        gateway = GatewayProcess(folder, list(servers.values()), KEYS)
        stack.enter_context(gateway)
        yield {**servers, "gateway": gateway}


def connect(server: ServerProcess) -> Session:
    assert isinstance(server, IntakeProcess | PersistenceProcess | DistributedProcess)
    return server.connect()


def fill(folder: Path) -> str:
    """Something of everything; returns the access token of a customer."""
    with suite(folder) as servers, InventoryProcess(folder, list(servers.values())[:3]):
        http = Http(servers["gateway"])  # type: ignore[arg-type]
        with connect(servers["intake"]) as session:
            for number in range(20):
                session.ask({**ORDER, "cliente": f"c{number}"})
            session.ask({**ORDER, "cliente": "rejected", "request_id": "failed"})
            session.ask({**ORDER, "no_antes_de": LATER, "request_id": "late"})
            session.ask(f"cancel {session.ask({**ORDER, 'no_antes_de': LATER})['id']}")
            session.wait_until("stats", "stats.abiertos", 1)
        with connect(servers["persistence"]) as records:
            for number in range(9):
                records.ask({"action": "set", "id": f"r{number % 4}", "data": {"n": number, "x": 0.5}})
            for user, score in ((7, 100), (7, 50), (8, 70), (9, 70)):
                records.ask({"action": "save_score", "user_id": user, "puntaje": score})
            records.ask({"action": "put_item", "table": "Users", "item": {"user_id": 7, "nombre": "Ana"}})
        http.post("/tasks", {"title": "sweep"})
        token = fill_shop(http)
        sheet = b"store,item,count\nBerlin,Echo Dot,1\nBerlin,Kindle,50\nOviedo,Kindle,7\n"
        http.ask("POST", "/items/upload", sheet, headers={"Content-Type": "text/csv"})
        until(lambda: http.get("/items/Berlin/Kindle/movements").json["movements"], bool)
        until(lambda: http.get("/alerts").json["alerts"], bool)
        with connect(servers["distributed"]) as service:
            service.ask({"action": "add_notification", "user_id": 7, "message": "hola"})
            service.ask({"action": "mark_read", "user_id": 7, "ids": [1]})
            service.wait_until("get_global_stats", "stats.pedidos.por_estado.listo", 20)
            service.wait_until({"action": "get_user_stats", "user_id": 9}, "success", True)  # type: ignore[arg-type]
    return token


def fill_shop(http: Http) -> str:
    """A customer who has bought one copy of a book and has another in the cart; returns the access token."""
    book = http.post("/api/v1/books", BOOK).json["book_id"]
    token: str = http.post("/api/v1/users/register", PERSON).json["token"]
    for path, body, expected in (
        ("/api/v1/cart/add", {"book_id": book, "quantity": 1}, 200),
        ("/api/v1/purchases/checkout", {"payment_method": "card", "shipping_address": ADDRESS}, 201),
        ("/api/v1/cart/add", {"book_id": book, "quantity": 1}, 200),
        (f"/api/v1/users/wishlist/{book}", None, 200),
    ):
        reply = http.post(path, body, Authorization=f"Bearer {token}")
        assert reply.status == expected, (path, reply.body)
    return token


def shown(folder: Path, token: str, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """The answer of every action and route that shows what is stored."""
    found: dict[str, Any] = {}
    with suite(folder, settings) as servers:
        if settings is None:
            with connect(servers["distributed"]) as service:
                found["distributed"] = of_distributed(service)
        with connect(servers["persistence"]) as records:
            found["persistence"] = of_persistence(records)
        with connect(servers["intake"]) as session:
            found["intake"] = of_intake(session)
        found["routes"] = of_routes(Http(servers["gateway"]), token)  # type: ignore[arg-type]
    return found


def of_intake(session: Session) -> dict[str, Any]:
    found: dict[str, Any] = {"list": session.ask({"action": "list", "limite": 1000})["pedidos"]}
    for action in ("status", "explain"):
        found[action] = [session.ask(f"{action} {order['id']}") for order in found["list"]]
    stats = session.ask("stats")["stats"]
    found["stats"] = {name: stats[name] for name in ("aceptados", "pedidos", "abiertos", "limite", "reparaciones")}
    found["again"] = session.ask({**ORDER, "no_antes_de": LATER, "request_id": "late"})["id"]
    assert found.keys() - {"again"} == INTAKE_ACTIONS - NOT_SHOWN - CHANGING
    return found


def of_persistence(records: Session) -> dict[str, Any]:
    logs = records.ask({"action": "list_logs", "limit": 1000})["items"]
    found: dict[str, Any] = {"list_logs": [one for one in logs if one["action"] == "set"]}
    found["verify_log"] = records.ask("verify_log")["valid"]
    found["list"] = records.ask({"action": "list", "limit": 100})["items"]
    found["get"] = [records.ask({"action": "get", "id": f"r{number}"}) for number in range(4)]
    found["history"] = [one for one in records.ask("history r1")["items"] if one["action"] == "set"]
    found["query"] = [
        records.ask({"action": "query", "table": table, "partition": partition})
        for table, partition in TABLES.items()
        if partition is not None
    ]
    found["query"].append(records.ask({"action": "query", "table": "Scores", "index": "ranking"}))
    found["get_item"] = records.ask({"action": "get_item", "table": "Scores", "key": {"user_id": 7}})
    found["get_items"] = records.ask({"action": "get_items", "table": "Users", "keys": [{"user_id": 7}]})
    found["changes"] = records.ask({"action": "changes", "limit": 1000})
    assert found.keys() == PERSISTENCE_ACTIONS - NOT_SHOWN - CHANGING
    return found


def of_distributed(service: Session) -> dict[str, Any]:
    found: dict[str, Any] = {}
    users = (1, 7, 8, 9)
    service.wait_until("health", "relay", {"orders": "followed", "records": "followed"})
    found["get_user_stats"] = [service.ask({"action": "get_user_stats", "user_id": user}) for user in users]
    found["get_notifications"] = [service.ask({"action": "get_notifications", "user_id": user}) for user in users]
    found["get_global_stats"] = service.ask("get_global_stats")["stats"]
    found["get_global_stats"].pop("timestamp", None)
    newest = service.ask("health")["eventos"]
    topics = ["orders", "scores", "records", "notifications", "stock", "purchases"]
    service.ask({"action": "subscribe", "topics": topics, "since": 0})
    found["subscribe"] = [service.read() for _ in range(newest)]
    assert found.keys() == DISTRIBUTED_ACTIONS - NOT_SHOWN - CHANGING
    return found


def of_routes(http: Http, token: str) -> dict[str, Any]:
    customer = {"Authorization": f"Bearer {token}"}
    books = [one["book_id"] for one in http.get("/api/v1/books").json["data"]]
    purchases = [one["purchase_id"] for one in http.get("/api/v1/purchases", **customer).json["data"]]
    orders = http.get("/api/v1/orders").json["pedidos"]
    ids = {
        "/api/v1/orders/{id}": [order["id"] for order in orders],
        "/tasks/{id}": [one["id"] for one in http.get("/tasks").json["tasks"]],
        "/api/v1/books/{id}": books,
        "/api/v1/books/recommendations/{id}": ["me"],
        "/api/v1/purchases/{id}": purchases,
        "/imports/{id}": [one["id"] for one in http.get("/imports").json["imports"]],
    }
    queries = {"/api/stats/usuario": "?user_id=7", "/api/notificaciones": "?user_id=7"}
    found: dict[str, Any] = {}
    for path, operations in http.get("/openapi.json").json["paths"].items():
        if "get" not in operations or path in ROUTES_NOT_SHOWN:
            continue
        if path.endswith("{id}"):
            assert ids[path]
            asked = [path.replace("{id}", one) for one in ids[path]]
        else:
            named = path.replace("{store}", "Berlin").replace("{item}", quote("Echo Dot")) + queries.get(path, "")
            asked = [named]
        for one in asked:
            for sender, headers in (("developer", {}), ("customer", customer)):
                reply = http.get(one, **headers)
                found[f"{one} of the {sender}"] = (reply.status, timeless(reply.body))
    return found


def timeless(body: bytes) -> Any:
    """A body without what is about the process or about now."""
    try:
        found = json.loads(body)
    except ValueError:
        return body.decode()
    for part in (found, found.get("stats"), *(found.get(name) for name in ("intake", "persistencia", "distributed"))):
        if isinstance(part, dict):
            for name in ("uptime_s", "timestamp", "conexiones", "workers", "por_segundo", "request_id"):
                part.pop(name, None)
    return found


def test_whatever_is_shown_before_is_shown_after(tmp_path: Path, settings: dict[str, str]) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    token = fill(here)
    before = shown(here, token)
    assert before["routes"]["/api/v1/purchases of the customer"][1]["data"]
    status, _, told = migrate(here, settings, "sqlite", "dynamodb")
    assert status == 0, told
    there = shown(here, token, settings)
    for server in ("intake", "persistence"):
        # The feed is of each store alone, and tells of nothing that was there before.
        assert {**there[server], "changes": 0} == {**before[server], "changes": 0}
    assert there["persistence"]["changes"]["changes"] == []
    status, _, told = migrate(back, settings, "dynamodb", "sqlite")
    assert status == 0, told
    after = shown(back, token)
    for server, answers in before.items():
        for action, answer in answers.items():
            assert after[server][action] == answer, (server, action)


def test_what_happens_on_dynamodb_is_counted_once_on_the_way_back(tmp_path: Path, settings: dict[str, str]) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    fill(here)
    assert migrate(here, settings, "sqlite", "dynamodb")[0] == 0
    with suite(here, settings) as servers:
        with connect(servers["intake"]) as session:
            session.ask(f"cancel {session.ask('list fallido')['pedidos'][0]['id']}")
            session.ask(f"cancel {session.ask('list en_cola')['pedidos'][0]['id']}")
            for _ in range(5):
                session.ask(ORDER)
            session.wait_until("stats", "stats.pedidos.listo", 25)
            session.ask({**ORDER, "cliente": "rejected"})
            session.wait_until("stats", "stats.abiertos", 0)
            known = session.ask("stats")["stats"]
        with connect(servers["persistence"]) as records:
            records.ask({"action": "save_score", "user_id": 8, "puntaje": 500})
    status, _, told = migrate(back, settings, "dynamodb", "sqlite")
    assert status == 0, told
    with suite(back) as servers, connect(servers["distributed"]) as service:
        service.wait_until("get_global_stats", "stats.pedidos.aceptados", 29)
        counted = service.wait_until("get_global_stats", "stats.pedidos.por_estado.listo", 25)["stats"]
        assert counted["pedidos"]["por_estado"] == known["pedidos"]
        assert counted["ranking"][0]["user_id"] == 8
        # Events that were told before are not told again.
        service.ask({"action": "subscribe", "topics": ["orders"], "since": 0})
        events = [service.read()["event"] for _ in range(66)]
        assert Counter(events) == THERE
        new = [service.read() for _ in range(20)]
        assert Counter(one["event"] for one in new) == BETWEEN
        assert len({one["id"] for one in new}) == 8
        with connect(servers["intake"]) as session:
            stats = session.ask("stats")["stats"]
            assert (stats["aceptados"], stats["pedidos"]) == (29, known["pedidos"])
