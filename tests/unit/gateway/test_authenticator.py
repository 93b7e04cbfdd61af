"""Who sends a request, and for which tenant."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from services.gateway.http.principal import (
    DEVELOPER,
    INSTALLATION_PUBLIC,
    INSTALLATION_VIEWERS,
    OPERATORS,
    PLAYER,
    PUBLIC,
    VIEWERS,
    Principal,
    RouteAccess,
)
from services.gateway.http.problems import BadRequest
from services.gateway.http.routes import HttpRequest, ResponseSpec, Route
from services.gateway.identity.authenticator import Authenticator
from services.gateway.identity.players import PlayerTokens
from services.gateway.identity.tenants import FRESH_SECONDS, TenantDirectory
from services.settings import Stage
from shared.domain.errors import Forbidden, NotFound, RequestError, Unauthorized, Unavailable
from shared.domain.tenants import TenantRecord
from tests.support.intake import PATIENCE

SECRET = "a secret of the tests, long enough"


def account(tenant: str) -> Principal:
    return Principal(tenant=tenant, kind="account", user="u", roles=frozenset({"operator"}), name="ana")


def access_token(tenant: str) -> str:
    return jwt.encode({"tenant": tenant}, SECRET, algorithm="HS256")


def player_token(user: str = "7", *, secret: str = SECRET, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"sub": user, "iat": now, "exp": now + 60, **claims}, secret, algorithm="HS256")


class FakeCredentials:
    """Accepts credentials that end in the name of a tenant, and access tokens."""

    async def authenticate_token(self, token: str) -> Principal:
        try:
            return account(jwt.decode(token, SECRET, algorithms=["HS256"])["tenant"])
        except jwt.InvalidTokenError:
            raise Unauthorized("no") from None

    async def authenticate_session(self, token: str) -> Principal:
        return await self.authenticate_key(token)

    async def authenticate_key(self, token: str) -> Principal:
        if token.endswith("stale"):
            raise Unauthorized("no")
        return account(token.rpartition(".")[2])


def directory(*tenants: TenantRecord) -> TenantDirectory:
    async def read() -> AsyncIterator[TenantRecord]:
        for tenant in tenants:
            yield tenant

    return TenantDirectory(read, asyncio.get_running_loop().time)


def make_authenticator(stage: Stage) -> Authenticator:
    tenants = directory(
        TenantRecord("shop", "Shop", hosts=["shop.example"], origins=["https://page.example"]),
        TenantRecord("rival", "Rival", hosts=["rival.example"]),
        TenantRecord("gone", "Gone", hosts=["gone.example"], active=False),
    )
    return Authenticator(
        PlayerTokens(SECRET), FakeCredentials(), tenants, stage=stage, encrypted=False, is_network_closed=False
    )


def make_request(headers: dict[str, str] | None, *, method: str = "GET", address: str = "192.0.2.1") -> HttpRequest:
    sent = {"host": "localhost:5000", **(headers or {})}
    scope = {
        "method": method,
        "client": (address, 1),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    return HttpRequest(scope, "r", {})


async def authenticate(
    access: RouteAccess, headers: dict[str, str] | None = None, *, stage: Stage = "prod", address: str = "192.0.2.1"
) -> Principal:
    spec: Any = {"id": "i", "tag": "t", "summary": "s", "responses": {200: ResponseSpec(None, "it is")}}
    route = Route(method="GET", path="/x", handler=None, access=access, **spec)  # type: ignore[arg-type]
    return await make_authenticator(stage).authenticate(make_request(headers, address=address), route)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def cookie(token: str) -> dict[str, str]:
    return {"cookie": f"comanda_session={token}"}


@pytest.mark.parametrize("stage", ["dev", "test", "prod"])
@pytest.mark.parametrize(
    "headers", [bearer(access_token("shop")), bearer("ck.shop"), cookie("t.shop")], ids=["token", "key", "cookie"]
)
async def test_credentials_name_the_tenant(stage: Stage, headers: dict[str, str]) -> None:
    assert await authenticate(VIEWERS, headers, stage=stage) == account("shop")
    assert await authenticate(VIEWERS, {**headers, "x-tenant-id": "shop"}, stage=stage) == account("shop")
    assert await authenticate(VIEWERS, {**headers, "host": "shop.example:1"}, stage=stage) == account("shop")
    for other in ({"x-tenant-id": "rival"}, {"host": "rival.example"}, {"x-tenant-id": "main"}, {"x-tenant-id": "no"}):
        with pytest.raises(Unauthorized):
            await authenticate(VIEWERS, {**headers, **other}, stage=stage)


@pytest.mark.parametrize(
    ("headers", "tenant"),
    [
        ({"x-tenant-id": "shop"}, "shop"),
        ({"x-tenant-id": "main"}, "main"),
        ({"host": "shop.example"}, "shop"),
        ({"host": "SHOP.example.:443", "x-tenant-id": "shop"}, "shop"),
        ({"host": "shop.example", "x-tenant-id": "rival"}, Forbidden),
        ({"x-tenant-id": "unknown"}, NotFound),
        ({"x-tenant-id": "gone"}, NotFound),
        ({"host": "gone.example"}, NotFound),
        ({}, NotFound),
        ({"x-tenant-id": "../main"}, BadRequest),
    ],
)
async def test_without_credentials_host_or_header_name_the_tenant(
    headers: dict[str, str], tenant: str | type[RequestError]
) -> None:
    if isinstance(tenant, str):
        assert await authenticate(PUBLIC, headers) == Principal(tenant=tenant)
    else:
        with pytest.raises(tenant):
            await authenticate(PUBLIC, headers)


async def test_unknown_and_inactive_tenants_and_none_get_the_same_answer() -> None:
    texts = set()
    for headers in ({"x-tenant-id": "unknown"}, {"x-tenant-id": "gone"}, {}):
        with pytest.raises(NotFound) as refused:
            await authenticate(PUBLIC, headers)
        texts.add((refused.value.message, refused.value.field, refused.value.hint))
    assert texts == {
        (
            "the request names no tenant that exists",
            "X-Tenant-Id",
            "send the header X-Tenant-Id: main, or the name of another tenant",
        )
    }
    with pytest.raises(NotFound):
        await authenticate(VIEWERS, bearer(access_token("gone")))


async def test_probes_and_pages_need_no_tenant() -> None:
    assert await authenticate(INSTALLATION_PUBLIC) == Principal()
    assert await authenticate(INSTALLATION_PUBLIC, {"x-tenant-id": "unknown"}) == Principal()
    assert await authenticate(INSTALLATION_PUBLIC, cookie("t.stale")) == Principal()


async def test_stale_credentials_do_not_keep_from_signing_in() -> None:
    shop = {"x-tenant-id": "shop"}
    for stale in (cookie("t.stale"), bearer("ck.stale"), bearer("x"), cookie("t.rival")):
        assert await authenticate(PUBLIC, {**shop, **stale}) == Principal(tenant="shop")
    with pytest.raises(Unauthorized):
        await authenticate(VIEWERS, {**shop, **cookie("t.stale")})


@pytest.mark.parametrize("value", ["", " ", "Bearer", "Bearer \xff", "Bearer ñ", "Bearer a\tb", "Bearer ck.shop\xa0"])
async def test_what_is_no_token_counts_as_an_invalid_one(value: str) -> None:
    headers = {"authorization": value}
    with pytest.raises(Unauthorized):
        await authenticate(VIEWERS, headers)
    assert await authenticate(INSTALLATION_PUBLIC, headers) == Principal()


@pytest.mark.parametrize("stage", ["test", "prod"])
async def test_without_credentials_only_public_routes_answer(stage: Stage) -> None:
    for headers in ({}, {"x-tenant-id": "shop"}, {"x-tenant-id": "unknown"}, {"x-tenant-id": "main"}):
        for access in (VIEWERS, OPERATORS, INSTALLATION_VIEWERS, PLAYER):
            with pytest.raises(Unauthorized):
                await authenticate(access, headers, stage=stage, address="127.0.0.1")


async def test_in_development_this_machine_needs_no_credentials() -> None:
    assert await authenticate(INSTALLATION_VIEWERS, stage="dev", address="::1") == DEVELOPER
    shop = await authenticate(VIEWERS, {"x-tenant-id": "shop"}, stage="dev", address="127.0.0.1")
    assert (shop.kind, shop.tenant) == ("developer", "shop")
    with pytest.raises(Unauthorized):
        await authenticate(VIEWERS, stage="dev", address="192.0.2.1")
    with pytest.raises(NotFound):
        await authenticate(VIEWERS, {"x-tenant-id": "unknown"}, stage="dev", address="127.0.0.1")


async def test_a_player_opens_scores_and_nothing_else() -> None:
    assert (await authenticate(PLAYER, bearer(player_token()))).player == 7
    for access in (VIEWERS, INSTALLATION_VIEWERS, OPERATORS):
        with pytest.raises(Forbidden):
            await authenticate(access, bearer(player_token()))
    with pytest.raises(Forbidden):
        await authenticate(PLAYER, bearer(access_token("main")))
    # A claim `tenant` makes it the token of an account, which has to be valid as one.
    with pytest.raises(Unauthorized):
        await authenticate(PLAYER, bearer(player_token(tenant="main", secret="another secret of the tests, as long")))


async def test_the_directory_is_read_again_when_it_is_old() -> None:
    now, reads = 0.0, 0
    tenants = [TenantRecord("a", "A", hosts=["a.example"], origins=["https://a.example"])]
    failing = False

    async def read() -> AsyncIterator[TenantRecord]:
        nonlocal reads
        reads += 1
        for tenant in tenants:
            yield tenant
        if failing:
            raise Unavailable("away")

    found = TenantDirectory(read, lambda: now)
    await asyncio.gather(found.refresh(), found.refresh())
    assert (reads, found.find_by_host("a.example"), set(found.origins)) == (1, "a", {"https://a.example"})
    tenants[0] = TenantRecord("a", "A", active=False)
    now = FRESH_SECONDS + 1
    failing = True
    await found.refresh()
    await asyncio.sleep(0)
    assert found.find("a") is not None, "what was read last stays while the store is away"
    failing = False
    now += 2
    found.refresh_soon()
    await asyncio.sleep(0)
    assert (reads, found.find("a"), found.find_by_host("a.example")) == (3, None, None)


async def test_tenants_that_were_never_read_are_unavailable_and_not_unknown() -> None:
    async def read() -> AsyncIterator[TenantRecord]:
        raise Unavailable("away")
        yield

    found = TenantDirectory(read, lambda: 0.0)
    with pytest.raises(Unavailable):
        await found.refresh()
    await found.refresh_if_possible()


async def test_a_store_that_never_answers_does_not_hold_up_what_needs_no_tenant() -> None:
    async def read() -> AsyncIterator[TenantRecord]:
        await asyncio.Event().wait()
        yield TenantRecord("main", "Main")

    found = TenantDirectory(read, asyncio.get_running_loop().time, wait_seconds=0.01)
    async with asyncio.timeout(PATIENCE):
        for _ in range(2):
            await found.refresh_if_possible()
            with pytest.raises(Unavailable):
                await found.refresh()
    found.close()


async def test_the_body_of_a_sign_in_may_name_the_tenant() -> None:
    authenticator = make_authenticator("prod")
    assert await authenticator.resolve_tenant(make_request({"x-tenant-id": "shop"})) == "shop"
    assert await authenticator.resolve_tenant(make_request({}), "shop") == "shop"
    for named, refusal in ((None, NotFound), ("unknown", NotFound), ("gone", NotFound)):
        with pytest.raises(refusal):
            await authenticator.resolve_tenant(make_request({}), named)
    with pytest.raises(Forbidden):
        await authenticator.resolve_tenant(make_request({"host": "shop.example"}), "rival")


async def test_a_page_signs_in_to_its_own_tenant() -> None:
    authenticator = make_authenticator("prod")
    page = make_request({"origin": "https://page.example"}, method="POST")
    assert await authenticator.resolve_tenant(page, "shop") == "shop"
    with pytest.raises(Forbidden):
        await authenticator.resolve_tenant(page, "rival")


async def test_tenants_are_not_stale_after_a_time_without_requests() -> None:
    now = 0.0
    active, answers = True, asyncio.Event()
    answers.set()

    async def read() -> AsyncIterator[TenantRecord]:
        await answers.wait()
        yield TenantRecord("a", "A", active=active)

    found = TenantDirectory(read, lambda: now, wait_seconds=0.01)
    await found.refresh()
    active = False
    now = FRESH_SECONDS + 1
    answers.clear()
    await found.refresh()
    assert found.find("a") is not None, "it is read in the background while it is not stale"
    answers.set()
    now = 3600.0
    await found.refresh()
    assert found.find("a") is None
    # Where the store hangs, the first requests wait a moment, and the others go on at once.
    answers.clear()
    now = 7200.0
    await asyncio.gather(*(found.refresh() for _ in range(9)))
    await found.refresh()
    found.close()
