"""Paths with places in them."""

import asyncio
from typing import Any

import pytest

from services.gateway.api.pages import FILES
from services.gateway.http.asgi import Scope
from services.gateway.http.origins import HostFilter, check_origin
from services.gateway.http.principal import PUBLIC, Principal
from services.gateway.http.problems import BadRequest, MethodNotAllowed
from services.gateway.http.router import Router
from services.gateway.http.routes import HttpRequest, HttpResponse, ResponseSpec, Route
from services.gateway.http.static_files import StaticFiles
from shared.domain.errors import Forbidden, NotFound


async def is_tenant_host(host: str) -> bool:
    return host == "tenant.example"


def ask(path: str, method: str = "GET") -> tuple[str, dict[str, str]]:
    """Which operation serves a path as it stands in a request, and what it finds in its places."""
    served: list[tuple[str, dict[str, str]]] = []

    def declare(template: str) -> Route:
        async def serve(request: HttpRequest) -> HttpResponse:
            served.append((template, dict(request.path_values)))
            return HttpResponse(200, [], b"")

        return Route(
            method="GET",
            path=template,
            handler=serve,
            id="i",
            access=PUBLIC,
            tag="t",
            summary="s",
            responses={200: ResponseSpec(None, "it is")},
        )

    async def admit(_: Scope, __: Route) -> None:
        pass

    async def authenticate(_: HttpRequest, __: Route) -> Principal:
        return Principal()

    async def nothing(*_: Any) -> Any:
        pass

    templates = ("/items", "/items/{store}", "/items/{store}/{item}/movements", "/tasks/{id}", "/tasks/{id}/undo")
    router = Router(
        [declare(template) for template in templates],
        admit,
        authenticate,
        [StaticFiles("/static/", FILES)],
        max_body_bytes=1,
        max_orders=1,
    )
    scope = {
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "request_id": "r",
    }
    asyncio.run(router(scope, nothing, nothing))
    return served[0]


@pytest.mark.parametrize(
    ("path", "template", "named"),
    [
        ("/items", "/items", {}),
        ("/items/Berlin", "/items/{store}", {"store": "Berlin"}),
        ("/items/a%2Fb/1%2F2%20kg/movements", "/items/{store}/{item}/movements", {"store": "a/b", "item": "1/2 kg"}),
        ("/items/%C3%81vila", "/items/{store}", {"store": "Ávila"}),
        ("/tasks/undo", "/tasks/{id}", {"id": "undo"}),
        ("/tasks/7/undo", "/tasks/{id}/undo", {"id": "7"}),
    ],
)
def test_places_are_found(path: str, template: str, named: dict[str, str]) -> None:
    assert ask(path) == (template, named)


@pytest.mark.parametrize("path", ["/", "/items/", "/items/a/b", "/items//b/movements", "/tasks/%FF", "/item"])
def test_other_paths_are_nothing(path: str) -> None:
    with pytest.raises(NotFound):
        ask(path)


def test_other_methods_are_told_which_there_are() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        ask("/items/Berlin", "DELETE")
    assert refused.value.allowed == ["GET", "HEAD"]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([], True),
        ([(b"origin", b"http://shop:5000"), (b"host", b"shop:5000")], True),
        ([(b"origin", b"http://shop:5000"), (b"host", b"other:5000")], False),
        ([(b"origin", b"http://friend"), (b"host", b"shop:5000")], True),
        ([(b"origin", b"null"), (b"host", b"shop:5000")], False),
        ([(b"origin", b"http://shop:5000"), (b"host", b"shop:5000"), (b"sec-fetch-site", b"cross-site")], False),
        ([(b"origin", b"https://proxy"), (b"host", b"shop:5000"), (b"sec-fetch-site", b"same-origin")], True),
    ],
)
def test_pages_of_other_sites_are_told_apart(headers: list[tuple[bytes, bytes]], allowed: bool) -> None:
    if allowed:
        check_origin(headers, ["http://friend"])
    else:
        with pytest.raises(Forbidden):
            check_origin(headers, ["http://friend"])


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"localhost:5000", True),
        (b"127.0.0.1:5000", True),
        (b"[::1]:5000", True),
        (b"192.168.1.7", True),
        (b"server:5000", True),
        (b"SHOP.example:5000", True),
        (b"shop.example.", True),
        (b"tenant.example:5000", True),
        (b"evil.example:5000", False),
        (b"127.0.0.1.evil.example", False),
        (b"localhost.evil.example:5000", False),
    ],
)
async def test_a_name_of_another_site_does_not_lead_here(host: bytes, allowed: bool) -> None:
    hosts = HostFilter(["shop.example"], is_tenant_host)
    for _ in range(2):
        if allowed:
            await hosts.check([(b"host", host)], "1.1")
        else:
            with pytest.raises(Forbidden):
                await hosts.check([(b"host", host)], "1.1")
    await HostFilter(["*"], is_tenant_host).check([(b"host", host)], "1.1")


@pytest.mark.parametrize(
    "host",
    [
        b"[",
        b"[::1",
        b"a:b",
        b"localhost:99999",
        b"user@localhost",
        b"localhost/x",
        b"[v1]",
        b"a b",
        b"caf\xe9",
        b"a\tb",
    ],
)
async def test_a_host_that_is_no_address_is_refused(host: bytes) -> None:
    with pytest.raises(BadRequest):
        await HostFilter(["*"], is_tenant_host).check([(b"host", host)], "1.1")


@pytest.mark.parametrize(
    ("headers", "version", "allowed"),
    [
        ([], "1.1", False),
        ([], "1.0", True),
        ([(b"host", b"a"), (b"host", b"a")], "1.1", False),
        ([(b"host", b"a"), (b"host", b"b")], "1.0", False),
    ],
)
async def test_a_request_has_one_host(headers: list[tuple[bytes, bytes]], version: str, allowed: bool) -> None:
    hosts = HostFilter([], is_tenant_host)
    if allowed:
        await hosts.check(headers, version)
    else:
        with pytest.raises(BadRequest):
            await hosts.check(headers, version)


@pytest.mark.parametrize("origin", [b"http://[", b"http://[::1", b"http://a:b", b"http://\xff[", b"//["])
async def test_an_origin_that_is_no_address_is_refused(origin: bytes) -> None:
    with pytest.raises(BadRequest):
        check_origin([(b"origin", origin), (b"host", b"shop")], [])
    with pytest.raises(BadRequest):
        await HostFilter([], is_tenant_host).check([(b"origin", origin), (b"host", b"shop")], "1.1")


@pytest.mark.parametrize("origin", [b"null", b"http://shop:5000", b"chrome-extension://abc", b"https://[::1]:8443"])
async def test_an_origin_that_is_an_address_may_ask(origin: bytes) -> None:
    await HostFilter([], is_tenant_host).check([(b"origin", origin), (b"host", b"shop")], "1.1")
