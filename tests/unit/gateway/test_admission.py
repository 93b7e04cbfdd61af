"""Pages of other origins, and the limits of tenants."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.gateway.http.asgi import Message, Receive, Scope, Send
from services.gateway.http.principal import INSTALLATION_PUBLIC, PUBLIC, VIEWERS, Principal, RouteAccess
from services.gateway.http.routes import HttpRequest, ResponseSpec, Route
from services.gateway.identity.cross_origin import CrossOriginPolicy
from services.gateway.identity.tenant_limits import TenantRateLimiter, parse_limits
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.middleware.rate_limits import RequestCounter
from services.gateway.settings import GatewaySettings
from shared.domain.errors import Forbidden, RateLimited, StartupError
from shared.domain.tenants import TenantRecord

SHOP, RIVAL, OWN = "https://shop.example", "https://rival.example", "https://own.example"


@pytest.fixture
async def tenants() -> TenantDirectory:
    async def read() -> AsyncIterator[TenantRecord]:
        yield TenantRecord("shop", "Shop", origins=[SHOP], limits={"read": "3/minute"})
        yield TenantRecord("rival", "Rival", origins=[RIVAL])
        yield TenantRecord("main", "Main", limits={"search": "1/minute"})

    found = TenantDirectory(read, asyncio.get_running_loop().time, [OWN])
    await found.refresh()
    return found


def make_request(
    headers: dict[str, str] | None = None, *, method: str = "GET", address: str = "192.0.2.1"
) -> tuple[HttpRequest, dict[str, str]]:
    """Returns a request, and a dictionary that fills with the headers added to its response."""
    added: list[tuple[bytes, bytes]] = []
    sent = {"host": "comanda:5000", **(headers or {})}
    scope = {
        "method": method,
        "client": (address, 1),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "response_headers": added,
    }
    return HttpRequest(scope, "r", {}), _Added(added)


class _Added(dict[str, str]):
    def __init__(self, added: list[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self._added = added

    def __getitem__(self, name: str) -> str:
        return dict(self._added)[name.encode()].decode()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.encode() in dict(self._added)


def make_route(access: RouteAccess = VIEWERS, *, method: str = "GET", **options: Any) -> Route:
    responses = {200: ResponseSpec(None, "it is")}
    return Route(
        method=method,
        path="/x",
        handler=None,  # type: ignore[arg-type]
        id="i",
        access=access,
        tag="t",
        summary="s",
        responses=responses,
        **options,
    )


def account(tenant: str, session: str | None = "s") -> Principal:
    return Principal(tenant=tenant, kind="account", user="u", session=session, name="ana")


@pytest.mark.parametrize(
    ("tenant", "origin", "allowed"),
    [
        ("shop", SHOP, True),
        ("rival", RIVAL, True),
        ("main", OWN, True),
        ("shop", RIVAL, False),
        ("rival", SHOP, False),
        ("main", SHOP, False),
        ("shop", OWN, False),
        ("shop", "https://stranger.example", False),
        ("shop", "null", False),
        ("shop", "https://shop.example:8443", False),
        ("shop", "http://shop.example", False),
        ("unknown", SHOP, False),
    ],
)
async def test_a_tenant_allows_its_own_origins(
    tenants: TenantDirectory, tenant: str, origin: str, allowed: bool
) -> None:
    policy = CrossOriginPolicy(tenants)
    for method in ("GET", "POST"):
        request, added = make_request({"origin": origin, "authorization": "Bearer x"}, method=method)
        if allowed:
            await policy.check(request, make_route(method=method), account(tenant))
            assert added["access-control-allow-origin"] == origin
            assert "RateLimit" in added["access-control-expose-headers"]
        else:
            with pytest.raises(Forbidden):
                await policy.check(request, make_route(method=method), account(tenant))
            assert "access-control-allow-origin" not in added
        assert added["vary"] == "Origin"
        assert "access-control-allow-credentials" not in added


@pytest.mark.parametrize(
    ("headers", "method", "allowed"),
    [
        ({"origin": "http://comanda:5000"}, "POST", True),
        ({"origin": "https://proxy.example", "sec-fetch-site": "same-origin"}, "POST", True),
        ({}, "DELETE", True),
        ({"sec-fetch-site": "none"}, "POST", True),
        ({"sec-fetch-site": "cross-site"}, "GET", True),
        ({"sec-fetch-site": "cross-site"}, "POST", False),
        ({"sec-fetch-site": "same-site"}, "POST", False),
        ({"origin": "http://comanda:5000", "sec-fetch-site": "same-site"}, "POST", False),
        ({"origin": "https://evil.example"}, "POST", False),
        ({"origin": "null"}, "DELETE", False),
        ({"origin": SHOP}, "POST", False),
        ({"origin": SHOP}, "GET", False),
    ],
)
async def test_a_cookie_does_not_serve_pages_of_other_sites(
    tenants: TenantDirectory, headers: dict[str, str], method: str, allowed: bool
) -> None:
    policy = CrossOriginPolicy(tenants)
    request, _ = make_request({**headers, "cookie": "comanda_session=t"}, method=method)
    if allowed:
        await policy.check(request, make_route(method=method), account("shop"))
    else:
        with pytest.raises(Forbidden):
            await policy.check(request, make_route(method=method), account("shop"))


async def test_any_page_may_look_whether_it_is_alive(tenants: TenantDirectory) -> None:
    request, added = make_request({"origin": "https://stranger.example"})
    await CrossOriginPolicy(tenants).check(request, make_route(INSTALLATION_PUBLIC), Principal())
    assert "access-control-allow-origin" not in added


def test_no_setting_stands_for_every_page() -> None:
    with pytest.raises(StartupError, match="CORS_ORIGINS"):
        GatewaySettings(cors_origins="https://a.example, *").list_origins()
    assert GatewaySettings(cors_origins="https://a.example, ").list_origins() == ["https://a.example"]


async def test_a_page_of_any_tenant_may_sign_in(tenants: TenantDirectory) -> None:
    policy, route = CrossOriginPolicy(tenants), make_route(INSTALLATION_PUBLIC, method="POST")
    for origin in (SHOP, RIVAL, OWN):
        request, added = make_request({"origin": origin}, method="POST")
        await policy.check(request, route, Principal())
        assert added["access-control-allow-origin"] == origin
    with pytest.raises(Forbidden):
        await policy.check(make_request({"origin": "https://stranger.example"}, method="POST")[0], route, Principal())


async def test_a_preflight_is_answered_for_the_origins_of_all_tenants(tenants: TenantDirectory) -> None:
    passed: list[Scope] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        passed.append(scope)

    async def receive() -> Message:
        raise AssertionError

    async def ask(headers: dict[str, str]) -> dict[bytes, bytes] | None:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope: Scope = {"method": "OPTIONS", "headers": encoded, "response_headers": []}
        await CrossOriginPolicy(tenants).wrap(app)(scope, receive, send)
        return dict(sent[0]["headers"]) if sent else None

    asked = {"access-control-request-method": "PUT"}
    for origin in (SHOP, RIVAL, OWN):
        answer = await ask({**asked, "origin": origin})
        assert answer is not None
        assert answer[b"access-control-allow-origin"].decode() == origin
        assert b"Authorization" in answer[b"access-control-allow-headers"]
        assert b"access-control-allow-credentials" not in answer
    assert not passed
    for headers in (
        {**asked, "origin": "https://stranger.example"},
        {**asked, "origin": "null"},
        {"origin": SHOP},
        asked,
    ):
        assert await ask(headers) is None
    assert len(passed) == 4


def limiter(tenants: TenantDirectory, limits: str = "read=2/minute,login=2/minute") -> TenantRateLimiter:
    return TenantRateLimiter(limits, RequestCounter(None), tenants)


async def test_a_tenant_at_its_limit_costs_others_nothing(tenants: TenantDirectory) -> None:
    limits = limiter(tenants)
    for remaining in ("1", "0"):
        request, added = make_request()
        await limits.check(request, make_route(), account("rival"))
        assert added["ratelimit-policy"] == '"read";q=2;w=60'
        assert added["ratelimit"].startswith(f'"read";r={remaining};t=')
    for _ in range(1000):
        request, added = make_request()
        with pytest.raises(RateLimited) as refused:
            await limits.check(request, make_route(), account("rival"))
    assert added["ratelimit"].startswith('"read";r=0;t=')
    assert 1000 <= refused.value.details["retry_after_ms"] <= 60_000
    for _ in range(3):
        request, added = make_request()
        await limits.check(request, make_route(), account("shop"))
    assert added["ratelimit-policy"] == '"read";q=3;w=60', "the record of a tenant has its own limit"
    # Another kind of operation has a count of its own.
    request, added = make_request(method="POST")
    await limits.check(request, make_route(method="POST"), account("rival"))
    assert "ratelimit" not in added


async def test_sign_ins_are_counted_by_address(tenants: TenantDirectory) -> None:
    limits, route = limiter(tenants), make_route(PUBLIC, method="POST", limit_group="login")
    for tenant in ("shop", "main"):
        for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
            for _ in range(2):
                await limits.check(make_request(address=address)[0], route, Principal(tenant=tenant))
        for address in ("192.0.2.1", "2001:db8::2"):
            with pytest.raises(RateLimited):
                await limits.check(make_request(address=address)[0], route, Principal(tenant=tenant))


async def test_the_installation_has_the_limits_of_its_record_only(tenants: TenantDirectory) -> None:
    limits = limiter(tenants)
    for _ in range(10):
        request, added = make_request()
        await limits.check(request, make_route(), account("main"))
        assert "ratelimit" not in added
    search = make_route(limit_group="search")
    await limits.check(make_request()[0], search, account("main"))
    with pytest.raises(RateLimited):
        await limits.check(make_request()[0], search, account("main"))


async def test_probes_and_none_have_no_limit(tenants: TenantDirectory) -> None:
    for limits, route in ((limiter(tenants, "none"), make_route()), (limiter(tenants), make_route(limited=False))):
        for _ in range(5):
            await limits.check(make_request()[0], route, account("rival"))


@pytest.mark.parametrize("text", ["read", "read=", "read=many/second", "read=5", "=5/second,x"])
def test_limits_that_cannot_be_read_stop_the_start(text: str) -> None:
    with pytest.raises(StartupError, match="TENANT_LIMITS"):
        parse_limits(text)


def test_limits_are_read_by_group() -> None:
    found = parse_limits(" read=500/second, sql=10/minute ,")
    assert {group: (limit.amount, limit.get_expiry()) for group, limit in found.items()} == {
        "read": (500, 1),
        "sql": (10, 60),
    }
