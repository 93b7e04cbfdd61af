"""Accounts over HTTP, in this process."""

import asyncio
import time
from email import message_from_bytes
from email.policy import SMTPUTF8
from pathlib import Path
from typing import Any

import jwt
import pytest

from clients.accounts import accounts, tenants
from clients.persistence import PersistenceClient
from services.gateway.identity import hashing
from services.gateway.identity.first_administrator import FIRST_EMAIL
from services.gateway.identity.hashing import PasswordHashing as Hashing
from shared.domain.accounts import Role
from shared.domain.tables import PRIVATE
from tests.support.http import Reply
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp

PASSWORD = "siete gatos verdes"
OTHER = "ocho perros azules"
API = "/api/v1"


@pytest.fixture
async def http(suite: Suite) -> InProcessHttp:
    await suite.start_persistence()
    return InProcessHttp(await suite.start_gateway())


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    return tmp_path / "mail"


def person(**members: Any) -> dict[str, Any]:
    return {"email": "ana@x.es", "password": PASSWORD, "first_name": "Ana", "last_name": "García", **members}


async def register(http: InProcessHttp, **members: Any) -> dict[str, Any]:
    reply = await http.post(f"{API}/users/register", person(**members))
    assert reply.status == 200, reply.body
    body: dict[str, Any] = reply.json
    return body


async def login(http: InProcessHttp, password: str = PASSWORD, **members: Any) -> Reply:
    return await http.post(f"{API}/users/login", {"email": "ana@x.es", "password": password, **members})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def get(http: InProcessHttp, path: str, token: str) -> Reply:
    return await http.ask("GET", f"{API}{path}", headers=bearer(token))


async def send(http: InProcessHttp, method: str, path: str, body: Any, token: str) -> Reply:
    return await http.ask(method, f"{API}{path}", body, headers=bearer(token))


async def make_admin(suite: Suite, user: str, role: Role = "admin") -> None:
    async with suite.persistence() as client:
        await accounts.change_account(client, user, roles=[role])


async def test_a_user_registers_signs_in_and_sees_its_profile(http: InProcessHttp) -> None:
    made = await register(http)
    assert made["message"] == "Usuario registrado exitosamente"
    claims = jwt.decode(made["token"], options={"verify_signature": False})
    assert (claims["user_id"], claims["tenant_id"]) == (made["user_id"], "main")
    reply = await login(http)
    assert (reply.status, reply.json["message"]) == (200, "Login exitoso")
    assert reply.json["user"]["preferences"] == {"categories": [], "language": "es"}
    assert 3590 <= reply.json["expires_in"] <= 3600
    profile = (await get(http, "/users/profile", reply.json["token"])).json
    assert profile["email"] == "ana@x.es"
    assert profile["roles"] == ["customer"]
    assert "generation" not in profile
    assert PASSWORD not in str(profile)


async def test_without_a_session_nothing_of_a_user_is_shown(http: InProcessHttp) -> None:
    for method, path, body in (
        ("GET", "/users/profile", None),
        ("PUT", "/users/profile", {"first_name": "A", "last_name": "B"}),
        ("PUT", "/users/preferences", {}),
        ("GET", "/users/export", None),
        ("DELETE", "/users/me", {"password": PASSWORD}),
        ("POST", "/users/password", {"current_password": PASSWORD, "new_password": OTHER}),
        ("GET", "/sessions", None),
        ("DELETE", "/sessions", None),
        ("DELETE", "/sessions/0", None),
    ):
        assert (await http.ask(method, f"{API}{path}", body)).status == 401, path


async def test_of_two_registrations_at_once_one_gets_the_address(http: InProcessHttp) -> None:
    bodies = [person(email=email) for email in ("ANA@x.es", "ana@X.es", "ana@x.es")]
    replies = await asyncio.gather(*(http.post(f"{API}/users/register", body) for body in bodies))
    assert sorted(reply.status for reply in replies) == [200, 409, 409]
    (taken, _) = [reply for reply in replies if reply.status == 409]
    assert taken.problem["detail"] == "El usuario ya existe"


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"password": "siete"}, "password"),
        ({"password": "password"}, "password"),
        ({"password": "12345678"}, "password"),
        ({"password": "ana@x.es"}, "password"),
        ({"password": "x" * 15}, "password"),
        ({"password": "ñ" * 257}, "password"),
        ({"email": "ana"}, "email"),
        ({"email": "ana@x.es\r\nBcc: eve@x.es"}, "email"),
        ({"first_name": ""}, "first_name"),
        ({"roles": ["admin"]}, "roles"),
        ({"user_id": "me"}, "user_id"),
        ({"tenant_id": ".."}, "tenant_id"),
    ],
)
async def test_a_wrong_registration_names_the_field(http: InProcessHttp, members: dict[str, Any], field: str) -> None:
    reply = await http.post(f"{API}/users/register", person(**members))
    assert (reply.status, reply.problem["field"]) == (422, field)


async def test_a_wrong_address_and_a_wrong_password_are_told_together(http: InProcessHttp) -> None:
    refused = await http.post(f"{API}/users/register", person(email="ana", password="siete"))
    assert [(one["field"], one["code"], one["params"]) for one in refused.problem["errors"]] == [
        ("email", "email_invalid", {}),
        ("password", "min_length", {"min": 8}),
    ]


async def test_a_long_password_with_blanks_and_letters_beyond_ascii_is_fine(http: InProcessHttp) -> None:
    password = "el ñandú corre por la pampa " + "año " * 9
    assert len(password) == 64
    await register(http, password=password)
    assert (await login(http, password)).status == 200
    assert (await login(http, password.strip())).status == 401


async def test_production_asks_for_fifteen_characters(suite: Suite) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway(password_min=15))
    refused = await http.post(f"{API}/users/register", person(password="cuatro palabra"))
    assert "fewer than 15" in refused.problem["detail"]
    await register(http, password="cuatro palabras")


async def test_unknown_wrong_and_blocked_end_alike(http: InProcessHttp, suite: Suite) -> None:
    made = await register(http)
    await register(http, email="bea@x.es")
    async with suite.persistence() as client:
        await accounts.change_account(client, made["user_id"], active=False)
        nobody = accounts.build_account("sin@x.es", "Sin", "Clave", ["customer"])
        await accounts.create_account(client, nobody, password_hash=None)
    replies = [
        await login(http),
        await login(http, OTHER),
        await login(http, email="nobody@x.es"),
        await login(http, OTHER, email="bea@x.es"),
        await login(http, email="sin@x.es"),
    ]
    seen = {(reply.status, reply.problem["detail"], reply.problem.get("hint")) for reply in replies}
    assert len(seen) == 1
    assert {reply.status for reply in replies} == {401}
    headers = [
        {name: value for name, value in reply.headers.items() if name not in ("x-request-id", "date")}
        for reply in replies
    ]
    assert all(one == headers[0] for one in headers)


async def test_after_five_failures_the_sixth_waits_even_with_the_right_password(http: InProcessHttp) -> None:
    await register(http)
    assert [(await login(http, OTHER)).status for _ in range(5)] == [401] * 5
    refused = await login(http)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    unknown = [(await login(http, email="nobody@x.es")).status for _ in range(6)]
    assert unknown == [401] * 5 + [429]


async def test_the_surplus_of_sign_ins_is_refused_before_any_lookup(
    http: InProcessHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(http)
    replies = await asyncio.gather(*(login(http, email=f"user{number}@x.es") for number in range(60)))
    counts = {status: sum(reply.status == status for reply in replies) for status in (401, 503)}
    assert counts[401] >= 17
    assert counts[401] + counts[503] == 60
    assert all(reply.headers["retry-after"] == "1" for reply in replies if reply.status == 503)
    assert (await login(http)).status == 200


async def test_newer_parameters_renew_the_hash_at_the_next_sign_in(suite: Suite) -> None:
    await suite.start_persistence()
    old = InProcessHttp(await suite.start_gateway(password_rounds=1))
    made = await register(old)
    new = InProcessHttp(await suite.start_gateway(password_rounds=2))
    async with suite.persistence() as client:
        for http, rounds in ((old, 1), (new, 2)):
            assert (await login(http)).status == 200
            stored = await accounts.load_hash(client, made["user_id"])
            assert stored is not None
            assert f"t={rounds}," in stored.hash


async def test_a_session_cookie_signs_a_browser_in_and_out(http: InProcessHttp) -> None:
    await register(http)
    reply = await login(http, cookie=True)
    assert "token" not in reply.json
    assert "refresh_token" not in reply.json
    cookie, *attributes = reply.headers["set-cookie"].split("; ")
    assert set(attributes) == {"Max-Age=43200", "Path=/", "HttpOnly", "SameSite=Lax"}
    assert cookie.startswith("comanda_session=main.")
    assert (await http.get(f"{API}/users/profile", Cookie=cookie)).status == 200
    (session,) = [one for one in (await http.get(f"{API}/sessions", Cookie=cookie)).json["sessions"] if one["current"]]
    assert session["kind"] == "cookie"
    foreign = await http.post(f"{API}/users/logout", None, Cookie=cookie, Origin="https://evil.example")
    assert foreign.status == 403
    out = await http.post(f"{API}/users/logout", None, Cookie=cookie)
    assert (out.status, out.headers["set-cookie"].split("; ")[0]) == (200, "comanda_session=")
    assert (await http.get(f"{API}/users/profile", Cookie=cookie)).status == 401
    assert (await http.post(f"{API}/users/logout", None, Cookie=cookie)).status == 200


async def test_a_new_sign_in_ends_the_session_of_the_cookie_that_it_replaces(http: InProcessHttp) -> None:
    made = await register(http)
    credentials = {"email": "ana@x.es", "password": PASSWORD, "cookie": True}
    first = (await login(http, cookie=True)).headers["set-cookie"].partition(";")[0]
    again = await http.post(f"{API}/users/login", credentials, Cookie=first)
    second = again.headers["set-cookie"].partition(";")[0]
    assert (await http.get(f"{API}/users/profile", Cookie=first)).status == 401
    assert (await http.get(f"{API}/users/profile", Cookie=second)).status == 200
    assert (await get(http, "/users/profile", made["token"])).status == 200


async def test_behind_a_proxy_with_tls_the_cookie_is_secure(suite: Suite) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway(public_url="https://shop.example"))
    await register(http)
    cookie, *attributes = (await login(http, cookie=True)).headers["set-cookie"].split("; ")
    assert cookie.startswith("__Host-comanda_session=main.")
    assert "Secure" in attributes
    assert (await http.get(f"{API}/users/profile", Cookie=cookie)).status == 200


async def test_a_token_is_not_valid_at_another_tenant(http: InProcessHttp, suite: Suite) -> None:
    async with suite.persistence() as client:
        await tenants.add_tenant(client, "acme", {})
    made = await register(http)
    headers = {**bearer(made["token"]), "X-Tenant-Id": "acme"}
    assert (await http.ask("GET", f"{API}/users/profile", headers=headers)).status == 401
    reply = await http.ask("POST", f"{API}/users/validate-token", headers=headers)
    assert (reply.status, reply.json["valid"]) == (200, False)
    refresh = {"refresh_token": made["refresh_token"]}
    assert (await http.ask("POST", f"{API}/users/refresh", refresh, headers=headers)).status == 403
    body = {"email": "ana@x.es", "password": PASSWORD, "tenant_id": "main"}
    assert (await http.post(f"{API}/users/login", body, X_Tenant_Id="acme")).status == 403
    assert (await login(http, tenant_id="acme")).status == 401
    assert (await login(http, tenant_id="nobody")).status == 404
    assert (await register(http, tenant_id="acme"))["user"]["tenant_id"] == "acme"
    assert (await login(http, tenant_id="acme")).status == 200


async def test_unknown_wrong_and_blocked_cost_the_same_work(
    http: InProcessHttp, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await register(http)
    await register(http, email="bea@x.es")
    async with suite.persistence() as client:
        await accounts.change_account(client, made["user_id"], active=False)
    work: list[str] = []
    for kind, names in ((PersistenceClient, ("get_item", "get_items", "transact")), (Hashing, ("verify_hash",))):
        for name in names:
            monkeypatch.setattr(kind, name, recording(work, name, getattr(kind, name)))
    seen = []
    for email, password in (("nobody@x.es", OTHER), ("bea@x.es", OTHER), ("ana@x.es", PASSWORD)):
        work.clear()
        assert (await login(http, password, email=email)).status == 401
        seen.append(list(work))
    assert seen[0] == ["get_items", "transact", "get_item", "get_item", "get_item", "verify_hash"]
    assert seen[1:] == seen[:1] * 2


def recording(work: list[str], name: str, method: Any) -> Any:
    def call(*values: Any, **members: Any) -> Any:
        work.append(name)
        return method(*values, **members)

    return call


async def test_a_logout_refuses_the_access_token_at_once(http: InProcessHttp) -> None:
    made = await register(http)
    other = (await login(http)).json
    assert (await get(http, "/users/profile", made["token"])).status == 200
    assert (await http.post(f"{API}/users/logout", None, Authorization=f"Bearer {made['token']}")).status == 200
    assert (await get(http, "/users/profile", made["token"])).status == 401
    assert (await http.post(f"{API}/users/refresh", {"refresh_token": made["refresh_token"]})).status == 401
    assert (await get(http, "/users/profile", other["token"])).status == 200


async def test_ten_refreshes_at_once_give_one_successor(http: InProcessHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await register(http)
    body = {"refresh_token": made["refresh_token"]}
    replies = await asyncio.gather(*(http.post(f"{API}/users/refresh", body) for _ in range(10)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.json["refresh_token"] for reply in replies}) == 1
    assert (await get(http, "/users/profile", replies[0].json["token"])).status == 200
    other = (await login(http)).json
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert (await http.post(f"{API}/users/refresh", body)).status == 401
    successor = {"refresh_token": replies[0].json["refresh_token"]}
    assert (await http.post(f"{API}/users/refresh", successor)).status == 401
    assert (await get(http, "/users/profile", replies[0].json["token"])).status == 401
    assert (await get(http, "/users/profile", other["token"])).status == 200


@pytest.mark.parametrize("token", ["", "x", "rt.main.0.0." + "x" * 43, "rt.other.0.0." + "x" * 43, "ñ"])
async def test_a_made_up_refresh_token_is_refused(http: InProcessHttp, token: str) -> None:
    assert (await http.post(f"{API}/users/refresh", {"refresh_token": token})).status in (401, 404)


async def test_a_changed_password_ends_all_sessions_but_the_new_one(http: InProcessHttp) -> None:
    made = await register(http)
    other = (await login(http)).json
    wrong = {"current_password": OTHER, "new_password": OTHER}
    refused = await send(http, "POST", "/users/password", wrong, made["token"])
    assert (refused.status, refused.problem["field"]) == (422, "current_password")
    weak = {"current_password": PASSWORD, "new_password": "12345678"}
    refused = await send(http, "POST", "/users/password", weak, made["token"])
    assert (refused.status, refused.problem["field"]) == (422, "new_password")
    body = {"current_password": PASSWORD, "new_password": OTHER}
    changed = await send(http, "POST", "/users/password", body, made["token"])
    assert changed.status == 200
    for ended in (made, other):
        assert (await get(http, "/users/profile", ended["token"])).status == 401
        assert (await http.post(f"{API}/users/refresh", {"refresh_token": ended["refresh_token"]})).status == 401
    assert (await get(http, "/users/profile", changed.json["token"])).status == 200
    assert (await login(http)).status == 401
    assert (await login(http, OTHER)).status == 200


async def test_profile_and_preferences_are_changed(http: InProcessHttp) -> None:
    token = (await register(http))["token"]
    reply = await send(http, "PUT", "/users/preferences", {"categories": ["Novela"], "language": "en"}, token)
    assert reply.json["message"] == "Preferencias actualizadas exitosamente"
    reply = await send(http, "PUT", "/users/profile", {"first_name": "Anita", "last_name": "Paz"}, token)
    assert reply.json["message"] == "Perfil actualizado exitosamente"
    profile = (await get(http, "/users/profile", token)).json
    assert (profile["first_name"], profile["last_name"]) == ("Anita", "Paz")
    assert profile["preferences"] == {"categories": ["Novela"], "language": "en"}
    for wrong in ({"first_name": "A"}, {"first_name": "A", "last_name": "B", "roles": ["admin"]}):
        assert (await send(http, "PUT", "/users/profile", wrong, token)).status == 422


async def test_sessions_are_listed_and_ended(http: InProcessHttp) -> None:
    first = await register(http)
    second = (await login(http)).json
    third = (await login(http)).json
    listed = (await get(http, "/sessions", first["token"])).json["sessions"]
    assert len(listed) == 3
    sid = jwt.decode(second["token"], options={"verify_signature": False})["sid"]
    assert (await send(http, "DELETE", f"/sessions/{sid}", None, first["token"])).status == 204
    assert (await get(http, "/users/profile", second["token"])).status == 401
    assert (await send(http, "DELETE", f"/sessions/{sid}", None, first["token"])).status == 404
    assert (await send(http, "DELETE", "/sessions", None, first["token"])).status == 204
    assert (await get(http, "/users/profile", third["token"])).status == 401
    assert (await get(http, "/users/profile", first["token"])).status == 200


async def test_an_account_is_exported_and_removed(http: InProcessHttp) -> None:
    made = await register(http)
    exported = (await get(http, "/users/export", made["token"])).json
    assert exported["user"]["email"] == "ana@x.es"
    assert len(exported["sessions"]) == 1
    assert not {"secret", "key", "hash"} & exported["sessions"][0].keys()
    assert exported["belongings"] == {"Carts": [], "Favorites": [], "Notices": [], "Purchases": [], "Wishes": []}
    assert (await send(http, "DELETE", "/users/me", {"password": OTHER}, made["token"])).status == 422
    assert (await send(http, "DELETE", "/users/me", {"password": PASSWORD}, made["token"])).status == 200
    assert (await get(http, "/users/profile", made["token"])).status == 401
    assert (await login(http)).status == 401
    assert (await register(http))["user_id"] != made["user_id"]


async def test_lists_are_exported_and_removed_with_the_account(http: InProcessHttp, suite: Suite) -> None:
    made = await register(http)
    async with suite.persistence() as client:
        for number in range(130):
            favorite = {"user": made["user_id"], "book": f"b{number:03}", "added_at": "2026-11-27T00:00:00Z"}
            await client.put_item("Favorites", favorite)
        await client.put_item("Favorites", {**favorite, "user": "other"})
        await client.put_item("Carts", {"user": made["user_id"], "lines": 0})
        await client.put_item("Purchases", {"user": made["user_id"], "purchase": "p1", "status": "completed"})
        exported = (await get(http, "/users/export", made["token"])).json["belongings"]
        assert [len(exported[name]) for name in ("Favorites", "Carts", "Purchases")] == [130, 1, 1]
        assert (await send(http, "DELETE", "/users/me", {"password": PASSWORD}, made["token"])).status == 200
        assert (await client.query("Favorites", partition=made["user_id"])).items == []
        assert len((await client.query("Favorites", partition="other")).items) == 1
        assert (await client.get_item("Carts", {"user": made["user_id"]})).item is None
        # The books of the shop need its purchases.
        assert len((await client.query("Purchases", partition=made["user_id"])).items) == 1


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "Bearer", "x" * 8192, "eyJhbGciOiJub25lIn0.e30.", "[" * 5000])
async def test_validate_token_answers_200_for_anything(http: InProcessHttp, token: str) -> None:
    for header in (token or "-", f"Bearer {token}"):
        reply = await http.post(f"{API}/users/validate-token", None, Authorization=header)
        assert (reply.status, reply.json["valid"]) == (200, False), header
    reply = await http.post(f"{API}/users/validate-token")
    assert (reply.status, reply.json["valid"]) == (200, False)


@pytest.mark.parametrize("header", [b"", b"\xff" * 8192, b"Bearer \xc3\xb1", b"Bearer a\tb"])
async def test_validate_token_answers_200_for_any_bytes(http: InProcessHttp, header: bytes) -> None:
    sent = f"POST {API}/users/validate-token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
    answer = await http.raw(sent + b"Authorization: " + header + b"\r\n\r\n")
    assert b" 200 " in answer.split(b"\r\n")[0]
    assert b'"valid":false' in answer


async def test_validate_token_says_whose_it_is(http: InProcessHttp) -> None:
    made = await register(http)
    reply = await http.post(f"{API}/users/validate-token", None, Authorization=f"Bearer {made['token']}")
    assert reply.json["valid"] is True
    assert (reply.json["user_id"], reply.json["tenant_id"]) == (made["user_id"], "main")
    await http.post(f"{API}/users/logout", None, Authorization=f"Bearer {made['token']}")
    reply = await http.post(f"{API}/users/validate-token", None, Authorization=f"Bearer {made['token']}")
    assert reply.json["valid"] is False


async def test_administrators_list_promote_and_block_users(http: InProcessHttp, suite: Suite) -> None:
    admin, user = await register(http, email="root@x.es"), await register(http)
    await make_admin(suite, admin["user_id"])
    token = (await login(http, email="root@x.es")).json["token"]
    assert (await get(http, "/users", user["token"])).status == 403
    listed = (await get(http, "/users?limit=1", token)).json
    rest = (await get(http, f"/users?limit=100&cursor={listed['cursor']}", token)).json
    assert {one["email"] for one in (*listed["data"], *rest["data"])} == {FIRST_EMAIL, "root@x.es", "ana@x.es"}
    path = f"/users/{user['user_id']}"
    assert (await send(http, "PUT", f"{path}/role", {"role": "staff"}, token)).json["roles"] == ["staff"]
    assert (await send(http, "PUT", f"{path}/role", {"role": "root"}, token)).status == 422
    assert (await send(http, "PUT", f"{path}/block", {"blocked": True}, token)).json["active"] is False
    assert (await get(http, "/users/profile", user["token"])).status == 401
    assert (await login(http)).status == 401
    assert (await send(http, "PUT", f"{path}/block", {"blocked": False}, token)).json["active"] is True
    assert (await login(http)).status == 200
    own = f"/users/{admin['user_id']}"
    assert (await send(http, "PUT", f"{own}/role", {"role": "viewer"}, token)).status == 409
    assert (await send(http, "PUT", f"{own}/block", {"blocked": True}, token)).status == 409
    assert (await send(http, "PUT", "/users/nobody/block", {"blocked": True}, token)).status == 404


async def test_an_api_key_is_shown_once_and_works_until_it_is_removed(http: InProcessHttp, suite: Suite) -> None:
    admin = await register(http)
    await make_admin(suite, admin["user_id"])
    token = (await login(http)).json["token"]
    made = await send(http, "POST", "/api-keys", {"name": "caja 1", "role": "admin", "days": 1}, token)
    assert made.status == 201
    key = made.json["api_key"]
    listed = (await get(http, "/api-keys", token)).json["api_keys"]
    assert [one["id"] for one in listed] == [made.json["id"]]
    assert key not in str(listed)
    assert listed[0]["created_by"] == "ana@x.es"
    assert (await get(http, "/users", key)).status == 200
    assert (await get(http, "/users/profile", key)).status == 403
    assert (await send(http, "DELETE", f"/api-keys/{made.json['id']}", None, token)).status == 204
    assert (await get(http, "/users", key)).status == 401
    assert (await send(http, "DELETE", f"/api-keys/{made.json['id']}", None, token)).status == 404


async def test_nothing_secret_reaches_the_feed_the_log_or_the_metrics(
    http: InProcessHttp, suite: Suite, log: list[Any], tmp_path: Path
) -> None:
    made = await register(http)
    await login(http, OTHER)
    refreshed = (await http.post(f"{API}/users/refresh", {"refresh_token": made["refresh_token"]})).json
    async with suite.persistence() as client:
        feed = await client.changes(None)
        stored = await accounts.load_hash(client, made["user_id"])
    assert stored is not None
    assert {change.table for change in feed.changes}.isdisjoint(PRIVATE)
    metrics = (await http.get("/metrics")).body.decode()
    audited = read_files(tmp_path / "audit")
    secrets = [PASSWORD, OTHER, stored.hash]
    secrets += [one[name] for one in (made, refreshed) for name in ("token", "refresh_token")]
    for secret in secrets:
        for place in (repr(feed), repr(log), metrics, audited):
            assert secret not in place


def read_files(folder: Path) -> str:
    return "".join(file.read_text() for file in folder.iterdir())


def read_mail(folder: Path) -> list[str]:
    messages = [message_from_bytes(file.read_bytes(), policy=SMTPUTF8) for file in sorted(folder.glob("*.eml"))]
    return [message.get_content() for message in messages]


async def wait_for_mail(folder: Path, count: int) -> list[str]:
    """Returns the texts of the messages, once there are so many."""
    for _ in range(1000):
        if len(texts := read_mail(folder)) >= count:
            break
        await asyncio.sleep(0.01)
    assert len(texts) == count
    return texts


def token_in(text: str) -> str:
    (line,) = [line for line in text.splitlines() if "/shop/password#token=" in line]
    assert line.startswith("https://shop.example/shop/password#token=pr.main.")
    return line.partition("token=")[2]


async def test_a_forgotten_password_is_set_by_a_link_once(suite: Suite, mail: Path) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway())
    made = await register(http)
    mailing = {"smtp_url": f"file:{mail}", "public_url": "https://shop.example/"}
    http = InProcessHttp(await suite.start_gateway(**mailing))
    for email in ("ANA@x.es", "nobody@x.es"):
        reply = await http.post(f"{API}/users/password/reset", {"email": email})
        assert (reply.status, reply.json["message"]) == (
            202,
            "Si la dirección tiene una cuenta, le enviamos un mensaje",
        )
    (text,) = await wait_for_mail(mail, 1)
    token = token_in(text)
    confirm = f"{API}/users/password/reset/confirm"
    weak = await http.post(confirm, {"token": token, "password": "12345678"})
    assert (weak.status, weak.problem["field"]) == (422, "password")
    assert (await http.post(confirm, {"token": token, "password": OTHER})).status == 200
    assert (await http.post(confirm, {"token": token, "password": OTHER})).status == 410
    for made_up in ("", "x", "pr.main." + "x" * 43):
        assert (await http.post(confirm, {"token": made_up, "password": OTHER})).status == 410
    assert (await get(http, "/users/profile", made["token"])).status == 401
    assert (await login(http, OTHER)).status == 200


async def test_a_mailbox_gets_three_messages_an_hour(suite: Suite, mail: Path) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway())
    await register(http)
    http = InProcessHttp(await suite.start_gateway(smtp_url=f"file:{mail}"))
    for _ in range(6):
        assert (await http.post(f"{API}/users/password/reset", {"email": "ana@x.es"})).status == 202
    await wait_for_mail(mail, 3)
    await asyncio.sleep(5)
    await wait_for_mail(mail, 3)


async def test_with_mail_a_registration_does_not_show_who_has_an_account(suite: Suite, mail: Path) -> None:
    await suite.start_persistence()
    mailing = {"smtp_url": f"file:{mail}", "public_url": "https://shop.example"}
    http = InProcessHttp(await suite.start_gateway(**mailing))
    replies = [await http.post(f"{API}/users/register", person()) for _ in range(2)]
    assert [(reply.status, reply.json) for reply in replies] == [(202, replies[0].json)] * 2
    welcome, taken = await wait_for_mail(mail, 2)
    assert "terminar el registro" in welcome
    assert "Ana" not in welcome
    assert "ya tiene una cuenta" in taken
    assert (await login(http)).status == 401
    confirm = {"token": token_in(welcome), "password": OTHER}
    assert (await http.post(f"{API}/users/password/reset/confirm", confirm)).status == 200
    assert (await login(http, OTHER)).status == 200


async def test_a_link_does_not_unblock(suite: Suite, mail: Path) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway(smtp_url=f"file:{mail}"))
    await http.post(f"{API}/users/register", person())
    (text,) = await wait_for_mail(mail, 1)
    async with suite.persistence() as client:
        account = await accounts.find_account(client, "ana@x.es")
        assert account is not None
        await accounts.change_account(client, account.user, active=False)
    confirm = {"token": text.partition("token=")[2].split()[0], "password": OTHER}
    assert (await http.post(f"{API}/users/password/reset/confirm", confirm)).status == 410
    assert (await login(http, OTHER)).status == 401


async def test_an_address_registers_and_forgets_passwords_five_times_an_hour(suite: Suite) -> None:
    await suite.start_persistence()
    port = await suite.start_gateway(tenant_limits="login=20/minute,register=5/hour")
    http, other = InProcessHttp(port, peer="192.0.2.1"), InProcessHttp(port, peer="192.0.2.2")
    asked = [("register", person(email="x")), ("password/reset", {"email": "x"})] * 3
    seen = [(await http.post(f"{API}/users/{path}", body)).status for path, body in asked]
    assert seen == [422, 422, 422, 422, 422, 429]
    assert (await other.post(f"{API}/users/register", person())).status == 200
    assert (await login(http)).status == 200


def test_the_defaults_are_those_of_owasp() -> None:
    assert (hashing.MEMORY_KIB, hashing.ROUNDS) == (19_456, 2)
