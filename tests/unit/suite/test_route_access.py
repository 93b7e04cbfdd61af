"""Who may do what: all routes, for all kinds of senders, in all stages."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, get_args

import jwt
import pytest

import services.gateway.app as gateway_app
from clients.access import Access
from clients.accounts.tenants import add_tenant
from services.gateway.http.principal import Principal
from services.gateway.http.router import Router
from services.gateway.http.routes import HttpRequest, Route
from services.settings import Stage
from shared.domain.accounts import ROLES
from shared.domain.errors import Forbidden, NotFound, Unauthorized
from tests.support.in_process import SERVICE_TOKEN, Suite
from tests.support.in_process_http import InProcessHttp
from tests.support.members import add_member

SECRET = "a secret of the tests, long enough"

PUBLIC, PLAYERS = "everybody", "players"
READERS = frozenset({"viewer", "operator", "admin"})
WRITERS = frozenset({"operator", "admin"})
EDITORS = frozenset({"staff", "operator", "admin"})
ACCOUNTS = frozenset({"accounts"})
OF_MAIN = "main only"

# The routes by the senders that they admit. It repeats what the routes declare: no declaration changes unnoticed.
EXPECTED: dict[frozenset[str], str] = {
    frozenset({PUBLIC}): """
        GET /health, GET /ready, GET /, GET /docs, GET /openapi.json, GET /api/v1/principal,
        GET /api/v1/books, GET /api/v1/books/{id},
        GET /api/v1/books/search, GET /api/v1/books/suggest, GET /api/v1/books/categories,
        GET /api/v1/books/authors, GET /api/v1/books/{id}/related,
        GET /api/v1/books/by-isbn/{isbn}, GET /api/v1/covers/{tenant}/{name},
        POST /api/v1/users/register,
        POST /api/v1/users/login, POST /api/v1/users/refresh, POST /api/v1/users/logout,
        POST /api/v1/users/validate-token, POST /api/v1/users/password/reset,
        POST /api/v1/users/password/reset/confirm, GET /api/v1/cart, POST /api/v1/cart/add,
        PUT /api/v1/cart/update/{id}, DELETE /api/v1/cart/remove/{id}, DELETE /api/v1/cart/clear
    """,
    frozenset({PLAYERS}): "POST /api/guardar_puntaje, POST /api/notificaciones/leidas",
    READERS | {OF_MAIN, PLAYERS}: "GET /api/v1/events, GET /api/stats/usuario, GET /api/notificaciones",
    READERS | {OF_MAIN}: """
        GET /api/v1/orders, GET /api/v1/orders/{id}, GET /api/v1/orders/{id}/explain, GET /api/v1/stats,
        GET /api/stats/global, GET /metrics
    """,
    WRITERS | {OF_MAIN}: """
        POST /api/v1/orders, DELETE /api/v1/orders/{id}, POST /api/v1/orders/{id}/retry
    """,
    READERS: """
        GET /tasks, GET /tasks/{id}, GET /items, GET /items/{store}, GET /items.csv, GET /items/{store}/{item},
        GET /items/{store}/{item}/movements, GET /stores, GET /alerts, GET /imports, GET /imports/{id},
        GET /legacy/items, GET /legacy/items/{store}, GET /legacy/tasks, GET /legacy/tasks/{id},
        GET /api/v1/items, GET /api/v1/items/{store}, GET /api/v1/tasks, GET /api/v1/tasks/{id}
    """,
    WRITERS: """
        POST /tasks, PUT /tasks/{id}, PATCH /tasks/{id}, DELETE /tasks/{id}, PUT /items/{store}/{item},
        POST /alerts/acknowledge, POST /items/upload, POST /imports/{id}/undo, POST /legacy/tasks,
        PUT /legacy/tasks/{id}, PATCH /legacy/tasks/{id}, DELETE /legacy/tasks/{id}, POST /api/v1/tasks,
        PUT /api/v1/tasks/{id}, PATCH /api/v1/tasks/{id}, DELETE /api/v1/tasks/{id}
    """,
    EDITORS: """
        POST /api/v1/books, PUT /api/v1/books/{id}, DELETE /api/v1/books/{id}, POST /api/v1/books/{id}/cover,
        PUT /api/v1/books/{id}/image
    """,
    frozenset({"admin"}): """
        GET /api/v1/users, PUT /api/v1/users/{id}/role, PUT /api/v1/users/{id}/block, GET /api/v1/api-keys,
        POST /api/v1/api-keys, DELETE /api/v1/api-keys/{id}, POST /api/v1/analytics/sql,
        GET /api/v1/analytics/tables
    """,
    ACCOUNTS: """
        GET /api/v1/books/recommendations/{id},
        POST /api/v1/users/password, GET /api/v1/users/profile, PUT /api/v1/users/profile,
        PUT /api/v1/users/preferences, GET /api/v1/users/export, DELETE /api/v1/users/me, GET /api/v1/sessions,
        DELETE /api/v1/sessions/{id}, DELETE /api/v1/sessions, GET /api/v1/users/favorites,
        POST /api/v1/users/favorites/{id}, DELETE /api/v1/users/favorites/{id}, GET /api/v1/users/wishlist,
        GET /api/v1/users/notices, DELETE /api/v1/users/notices/{id},
        POST /api/v1/users/wishlist/{id}, DELETE /api/v1/users/wishlist/{id}, POST /api/v1/cart/merge,
        POST /api/v1/purchases/checkout, GET /api/v1/purchases, GET /api/v1/purchases/{id},
        GET /api/v1/purchases/{id}/events,
        POST /api/v1/purchases/{id}/cancel, GET /api/v1/purchases/analytics/summary
    """,
}
Admit = Callable[[HttpRequest, Route], Awaitable[Principal]]


class Gateway:
    """The routes of a gateway of this process, and its admission of requests."""

    routes: Sequence[Route] = ()
    admit: Admit


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    found = Gateway()

    def make_router(routes: Sequence[Route], check: Any, admit: Admit, *rest: Any, **options: Any) -> Router:
        found.routes, found.admit = routes, admit
        return Router(routes, check, admit, *rest, **options)

    monkeypatch.setattr(gateway_app, "Router", make_router)
    return found


def expected_senders() -> dict[str, frozenset[str]]:
    return {route.strip(): senders for senders, text in EXPECTED.items() for route in text.split(",")}


def player_token() -> str:
    now = int(time.time())
    return jwt.encode({"sub": "7", "iat": now, "exp": now + 600}, SECRET, algorithm="HS256")


def is_admitted(sender: str, expected: frozenset[str]) -> bool:
    """Whether a sender, written as `role kind tenant`, is among the expected ones."""
    role, kind, tenant = sender.split()
    if PUBLIC in expected or role == "developer":
        # What belongs to an account has no meaning without one.
        return expected != ACCOUNTS
    if role == "player":
        return PLAYERS in expected
    if OF_MAIN in expected and tenant != "main":
        return False
    return role in expected or (expected == ACCOUNTS and kind in ("token", "cookie"))


async def admits(gateway: Gateway, route: Route, headers: dict[str, str], address: str) -> bool | type[Exception]:
    scope = {
        "method": route.method,
        "client": (address, 1),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "response_headers": [],
    }
    try:
        await gateway.admit(HttpRequest(scope, "r", {}), route)
    except (Unauthorized, Forbidden, NotFound) as error:
        return type(error)
    return True


@pytest.mark.parametrize("stage", get_args(Stage))
async def test_every_route_admits_the_expected_senders(suite: Suite, gateway: Gateway, stage: Stage) -> None:
    await suite.start_persistence(service_token=SERVICE_TOKEN)
    await suite.start_gateway(stage=stage, service_token=SERVICE_TOKEN, jwt_secret=SECRET)
    senders: dict[str, dict[str, str]] = {"player token main": {"Authorization": f"Bearer {player_token()}"}}
    async with suite.persistence(access=Access(SERVICE_TOKEN)) as records:
        await add_tenant(records, "shop", {"name": "Shop"})
        for tenant in ("main", "shop"):
            for role in ROLES:
                member = await add_member(records, tenant, role)
                for kind in ("token", "cookie", "key"):
                    senders[f"{role} {kind} {tenant}"] = getattr(member, kind)
    expected = expected_senders()
    assert {f"{route.method} {route.path}" for route in gateway.routes} == set(expected)
    for route in gateway.routes:
        name = f"{route.method} {route.path}"
        for sender, headers in senders.items():
            found = await admits(gateway, route, headers, "192.0.2.1")
            right = True if is_admitted(sender, expected[name]) else Forbidden
            assert found is right, (stage, sender, name)
        if PUBLIC not in expected[name]:
            # Credentials of one tenant at another, and none, whatever tenant is named.
            for sender, other in (
                ("admin token shop", "main"),
                ("admin key main", "shop"),
                ("admin cookie shop", "no"),
            ):
                headers = {**senders[sender], "X-Tenant-Id": other}
                assert await admits(gateway, route, headers, "192.0.2.1") is Unauthorized, (stage, sender, name)
            for headers in ({}, {"X-Tenant-Id": "main"}, {"X-Tenant-Id": "shop"}, {"X-Tenant-Id": "no"}):
                assert await admits(gateway, route, headers, "192.0.2.1") is Unauthorized, (stage, headers, name)
        of_this_machine = await admits(gateway, route, {}, "127.0.0.1")
        if stage == "dev":
            assert (of_this_machine is True) is is_admitted("developer none main", expected[name]), name
        elif PUBLIC not in expected[name]:
            assert of_this_machine is Unauthorized, (stage, name)


async def test_in_production_nothing_but_public_routes_answers_without_credentials(
    suite: Suite, gateway: Gateway
) -> None:
    http = InProcessHttp(await suite.start_gateway(stage="prod", jwt_secret=SECRET, legacy_routes=True))
    public = {name for name, senders in expected_senders().items() if PUBLIC in senders}
    for route in gateway.routes:
        if f"{route.method} {route.path}" in public:
            continue
        path = route.path.replace("{", "").replace("}", "")
        for headers in ({}, {"X-Tenant-Id": "main"}):
            reply = await http.ask(route.method, path, headers=headers)
            assert (reply.status, reply.problem["error"]) == (401, "unauthorized"), path
            assert reply.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "sent",
    [
        "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n",
        "X-Tenant-Id: main\r\nX-Tenant-Id: shop\r\n",
        "X-Tenant-Id: main\r\nx-tenant-id: main\r\n",
        "Host: localhost\r\nHost: shop.example\r\n",
        "Cookie: comanda_session=a; comanda_session=b\r\n",
        "Cookie: comanda_session=a\r\nCookie: comanda_session=b\r\n",
        "X-Tenant-Id: mañana\r\n",
        "X-Tenant-Id: ../main\r\n",
        "X-Tenant-Id: main,shop\r\n",
        "X-Tenant-Id:\r\n",
        "Cookie: comanda_session=\xe9\r\n",
        "Authorization: Bearer a\x00b\r\n",
        "X-Tenant-Id : main\r\n",
        "X-Tenant-Id: main\r\n shop\r\n",
    ],
)
async def test_smuggled_headers_are_bad_requests(suite: Suite, sent: str) -> None:
    http = InProcessHttp(await suite.start_gateway(stage="prod", jwt_secret=SECRET))
    host = "" if sent.startswith("Host") else "Host: localhost\r\n"
    for path in ("/tasks", "/api/v1/users/profile", "/health"):
        status, problem = await http.refused(
            f"GET {path} HTTP/1.1\r\n{host}{sent}Connection: close\r\n\r\n".encode("latin-1")
        )
        assert (status, problem["error"]) == (400, "bad_request"), path


@pytest.mark.parametrize("kind", ["token", "cookie"])
async def test_a_stream_of_events_ends_with_its_session(suite: Suite, kind: str) -> None:
    await suite.start_persistence()
    await suite.start_distributed()
    await suite.start_inventory()
    http = InProcessHttp(await suite.start_gateway(stage="test"))
    async with suite.persistence() as records:
        member = await add_member(records, "main", "operator")
    credentials: dict[str, str] = getattr(member, kind)

    async def sell_out(item: str) -> None:
        reply = await http.ask("PUT", f"/items/A/{item}", {"count": 1}, headers=member.key)
        assert reply.status == 200, reply.body

    async with http.stream("?topics=stock", **credentials) as events:
        for item in ("pan", "agua"):
            await sell_out(item)
            assert (await events.next("stock.low"))[0]["item"] == item
            await asyncio.sleep(2)
        await http.ask("POST", "/api/v1/users/logout", headers=credentials)
        await sell_out("sal")
        assert await events.read() is None
