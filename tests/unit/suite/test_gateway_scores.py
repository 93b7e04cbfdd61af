"""Scores over HTTP, in this process."""

import time
from typing import Any

import jwt
import pytest

from tests.support.in_process import SERVICE_TOKEN, Suite
from tests.support.in_process_http import InProcessHttp
from tests.support.simulation import pass_time_until

SECRET = "a secret of the tests, long enough"


def token(user: Any, *, secret: str = SECRET, seconds: float = 60, without: str = "", algorithm: str = "HS256") -> str:
    now = time.time()
    claims = {"sub": user, "iat": now, "exp": now + seconds}
    return jwt.encode({name: value for name, value in claims.items() if name != without}, secret, algorithm=algorithm)


async def eventually(http: InProcessHttp, path: str, wanted: Any) -> Any:
    """What is at a path once `wanted` holds of it."""

    async def look() -> Any:
        found = await http.get(path)
        return found.json if wanted(found) else None

    return await pass_time_until(look)


async def test_a_saved_score_is_in_statistics_and_notifications(everything: InProcessHttp) -> None:
    http = everything
    saved = await http.post("/api/guardar_puntaje", {"user_id": 7, "puntaje": 100})
    assert saved.json == {"success": True, "message": "New record: 100", "nuevo_record": True, "puntaje_maximo": 100}
    lower = (await http.post("/api/guardar_puntaje", {"user_id": 7, "puntaje": 50})).json
    assert (lower["nuevo_record"], lower["puntaje_maximo"]) == (False, 100)
    path = "/api/stats/usuario?user_id=7"
    stats = await eventually(http, path, lambda reply: reply.status == 200 and reply.json["stats"]["partidas"] == 2)
    assert stats["stats"]["puntaje_maximo"] == 100
    told = (await http.get("/api/notificaciones?user_id=7&limit=1")).json
    assert told["no_leidas"] == 1
    assert [one["message"] for one in told["notifications"]] == ["New record: 100"]
    everybody = (await http.get("/api/stats/global")).json["stats"]
    assert 7 in [place["user_id"] for place in everybody["ranking"]]


async def test_first_score_of_zero_is_no_record(everything: InProcessHttp) -> None:
    http = everything
    saved = await http.post("/api/guardar_puntaje", {"user_id": 70, "puntaje": 0})
    assert saved.json == {
        "success": True,
        "message": "Saved; the record is 0",
        "nuevo_record": False,
        "puntaje_maximo": 0,
    }
    stats = (await eventually(http, "/api/stats/usuario?user_id=70", lambda reply: reply.status == 200))["stats"]
    assert stats["fecha_registro"] == stats["fecha_ultimo_juego"]
    everybody = (await http.get("/api/stats/global")).json["stats"]
    assert everybody["puntaje_maximo_global"] == everybody["puntaje_maximo"]
    assert everybody["timestamp"] > stats["fecha_registro"]


async def test_notifications_of_everybody_in_development(everything: InProcessHttp) -> None:
    http = everything
    for user in (71, 72):
        await http.post("/api/guardar_puntaje", {"user_id": user, "puntaje": 5})
    path = "/api/notificaciones"
    page = await eventually(
        http, path, lambda reply: [one["user_id"] for one in reply.json["notifications"]][-2:] == [71, 72]
    )
    assert page["no_leidas"] is None
    assert [one["user_id"] for one in (await http.get(f"{path}?limit=2&order=newest")).json["notifications"]] == [
        72,
        71,
    ]
    await http.post("/api/guardar_puntaje", {"user_id": 71, "puntaje": 6})
    own = f"{path}?user_id=71&order=oldest"
    told = (await eventually(http, own, lambda reply: len(reply.json["notifications"]) == 2))["notifications"]
    assert [one["message"] for one in told] == ["New record: 5", "New record: 6"]
    assert (await http.get(f"{path}?unread=true")).problem["field"] == "unread"
    assert (await http.get(f"{path}?order=up")).problem["field"] == "order"


async def test_notifications_are_marked_as_read_some_or_all(everything: InProcessHttp) -> None:
    http = everything
    path, read = "/api/notificaciones?user_id=8", "/api/notificaciones/leidas"
    for score in (1, 2, 3):
        await http.post("/api/guardar_puntaje", {"user_id": 8, "puntaje": score})
    told = (await eventually(http, path, lambda reply: reply.json["no_leidas"] == 3))["notifications"]
    marked = await http.post(read, {"user_id": 8, "ids": [told[0]["id"]]})
    assert (marked.status, marked.json) == (200, {"success": True, "marcadas": 1})
    assert (await http.get(path)).json["no_leidas"] == 2
    strange = await http.post(read, {"user_id": 9, "ids": [told[1]["id"]]})
    assert (strange.status, strange.problem["error"], strange.problem["field"]) == (404, "not_found", "ids")
    assert (await http.post(read, {"user_id": 8})).json["marcadas"] == 2
    assert (await http.get(path)).json["no_leidas"] == 0
    assert (await http.post(read, {"ids": [1]})).problem["field"] == "user_id"
    assert (await http.post(read, {"user_id": 8, "ids": []})).problem["field"] == "ids"


async def test_a_user_that_nobody_knows_is_not_found(everything: InProcessHttp) -> None:
    http = everything
    assert (await http.get("/api/stats/usuario?user_id=404")).problem["error"] == "not_found"


@pytest.mark.parametrize(
    ("body", "field"),
    [({"puntaje": 1}, "user_id"), ({"user_id": 1}, "puntaje"), ({"user_id": 1, "puntaje": "9"}, "puntaje")],
)
async def test_a_wrong_score_is_told_by_field(http: InProcessHttp, body: Any, field: str) -> None:
    reply = await http.post("/api/guardar_puntaje", body)
    assert reply.status == 422
    assert reply.problem["field"] == field


async def test_in_production_the_token_says_who_asks(suite: Suite) -> None:
    await suite.start_persistence(service_token=SERVICE_TOKEN)
    await suite.start_distributed(service_token=SERVICE_TOKEN)
    http = InProcessHttp(await suite.start_gateway(stage="prod", jwt_secret=SECRET))
    bearer = {"Authorization": f"Bearer {token('21')}"}
    saved = await http.ask("POST", "/api/guardar_puntaje", {"puntaje": 5}, headers=bearer)
    assert saved.json["puntaje_maximo"] == 5

    async def is_known() -> bool:
        return (await http.ask("GET", "/api/stats/usuario", headers=bearer)).status == 200

    await pass_time_until(is_known)
    for header in (
        None,
        "Basic x",
        "Bearer x",
        f"Bearer {token('21', seconds=-60)}",
        f"Bearer {token('21', secret='another secret of the same length')}",
        f"Bearer {token('21', without='exp')}",
        f"Bearer {token('21', without='iat')}",
        f"Bearer {token('Ana')}",
        f"Bearer {token('21', secret='', algorithm='none')}",
    ):
        headers = {} if header is None else {"Authorization": header}
        refused = await http.ask("POST", "/api/guardar_puntaje", {"puntaje": 5, "user_id": 21}, headers=headers)
        assert refused.status == 401, header
        assert refused.problem["error"] == "unauthorized"
        assert refused.headers["www-authenticate"].startswith("Bearer")
    assert (await http.ask("GET", "/api/notificaciones")).status == 401
    own = (await http.ask("GET", "/api/notificaciones", headers=bearer)).json["notifications"]
    assert [one["user_id"] for one in own] == [21]
    other = await http.ask("GET", "/api/stats/usuario?user_id=22", headers=bearer)
    assert other.status == 401


async def test_a_score_is_saved_without_the_distributed_service(suite: Suite) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway())
    assert (await http.post("/api/guardar_puntaje", {"user_id": 1, "puntaje": 3})).json["success"]
    for path in ("/api/stats/usuario?user_id=1", "/api/stats/global", "/api/notificaciones?user_id=1"):
        reply = await http.get(path)
        assert reply.status == 503, path
        assert reply.problem["error"] == "unavailable"
        assert int(reply.headers["retry-after"]) >= 1
