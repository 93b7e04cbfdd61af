"""Scores, statistics and notifications over HTTP, and whose they are."""

import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.integration.gateway.conftest import Suite
from tests.support.http import Http
from tests.support.intake import PATIENCE, GatewayProcess, PersistenceProcess

SECRET = "a secret of the tests, long enough"


def token(user: Any, *, secret: str = SECRET, seconds: float = 60, without: str = "", algorithm: str = "HS256") -> str:
    now = time.time()
    claims = {"sub": user, "iat": now, "exp": now + seconds}
    return jwt.encode({name: value for name, value in claims.items() if name != without}, secret, algorithm=algorithm)


def eventually(http: Http, path: str, wanted: Any) -> Any:
    """What is at a path once `wanted` holds of it."""
    deadline = time.monotonic() + PATIENCE
    while not wanted(found := http.get(path)):
        assert time.monotonic() < deadline, found
    return found.json


def test_a_saved_score_is_in_statistics_and_notifications(http: Http) -> None:
    saved = http.post("/api/guardar_puntaje", {"user_id": 7, "puntaje": 100})
    assert saved.json == {"success": True, "message": "New record: 100", "nuevo_record": True, "puntaje_maximo": 100}
    lower = http.post("/api/guardar_puntaje", {"user_id": 7, "puntaje": 50}).json
    assert (lower["nuevo_record"], lower["puntaje_maximo"]) == (False, 100)
    path = "/api/stats/usuario?user_id=7"
    stats = eventually(http, path, lambda reply: reply.status == 200 and reply.json["stats"]["partidas"] == 2)
    assert stats["stats"]["puntaje_maximo"] == 100
    told = http.get("/api/notificaciones?user_id=7&limit=1").json
    assert told["no_leidas"] == 1
    assert [one["message"] for one in told["notifications"]] == ["New record: 100"]
    everybody = http.get("/api/stats/global").json["stats"]
    assert 7 in [place["user_id"] for place in everybody["ranking"]]


def test_first_score_of_zero_is_no_record(http: Http) -> None:
    saved = http.post("/api/guardar_puntaje", {"user_id": 70, "puntaje": 0})
    assert saved.json == {
        "success": True,
        "message": "Saved; the record is 0",
        "nuevo_record": False,
        "puntaje_maximo": 0,
    }
    stats = eventually(http, "/api/stats/usuario?user_id=70", lambda reply: reply.status == 200)["stats"]
    assert stats["fecha_registro"] == stats["fecha_ultimo_juego"]
    everybody = http.get("/api/stats/global").json["stats"]
    assert everybody["puntaje_maximo_global"] == everybody["puntaje_maximo"]
    assert everybody["timestamp"] > stats["fecha_registro"]


def test_notifications_of_everybody_in_development(http: Http) -> None:
    for user in (71, 72):
        http.post("/api/guardar_puntaje", {"user_id": user, "puntaje": 5})
    path = "/api/notificaciones"
    page = eventually(
        http, path, lambda reply: [one["user_id"] for one in reply.json["notifications"]][-2:] == [71, 72]
    )
    assert page["no_leidas"] is None
    assert [one["user_id"] for one in http.get(f"{path}?limit=2&order=newest").json["notifications"]] == [72, 71]
    http.post("/api/guardar_puntaje", {"user_id": 71, "puntaje": 6})
    own = f"{path}?user_id=71&order=oldest"
    told = eventually(http, own, lambda reply: len(reply.json["notifications"]) == 2)["notifications"]
    assert [one["message"] for one in told] == ["New record: 5", "New record: 6"]
    assert http.get(f"{path}?unread=true").problem["field"] == "unread"
    assert http.get(f"{path}?order=up").problem["field"] == "order"


def test_notifications_are_marked_as_read_some_or_all(http: Http) -> None:
    path, read = "/api/notificaciones?user_id=8", "/api/notificaciones/leidas"
    for score in (1, 2, 3):
        http.post("/api/guardar_puntaje", {"user_id": 8, "puntaje": score})
    told = eventually(http, path, lambda reply: reply.json["no_leidas"] == 3)["notifications"]
    marked = http.post(read, {"user_id": 8, "ids": [told[0]["id"]]})
    assert (marked.status, marked.json) == (200, {"success": True, "marcadas": 1})
    assert http.get(path).json["no_leidas"] == 2
    strange = http.post(read, {"user_id": 9, "ids": [told[1]["id"]]})
    assert (strange.status, strange.problem["error"], strange.problem["field"]) == (404, "not_found", "ids")
    assert http.post(read, {"user_id": 8}).json["marcadas"] == 2
    assert http.get(path).json["no_leidas"] == 0
    assert http.post(read, {"ids": [1]}).problem["field"] == "user_id"
    assert http.post(read, {"user_id": 8, "ids": []}).problem["field"] == "ids"


def test_a_user_that_nobody_knows_is_not_found(http: Http) -> None:
    assert http.get("/api/stats/usuario?user_id=404").problem["error"] == "not_found"


@pytest.mark.parametrize(
    ("body", "field"),
    [({"puntaje": 1}, "user_id"), ({"user_id": 1}, "puntaje"), ({"user_id": 1, "puntaje": "9"}, "puntaje")],
)
def test_a_wrong_score_is_told_by_field(http: Http, body: Any, field: str) -> None:
    reply = http.post("/api/guardar_puntaje", body)
    assert reply.status == 422
    assert reply.problem["field"] == field


def test_in_production_the_token_says_who_asks(suite: Suite, tmp_path: Path) -> None:
    settings = {"STAGE": "prod", "JWT_SECRET": SECRET}
    with GatewayProcess(tmp_path, [suite.persistence, suite.distributed], settings) as gateway:
        http = Http(gateway)
        bearer = {"Authorization": f"Bearer {token('21')}"}
        saved = http.ask("POST", "/api/guardar_puntaje", {"puntaje": 5}, headers=bearer)
        assert saved.json["puntaje_maximo"] == 5
        deadline = time.monotonic() + PATIENCE
        while http.ask("GET", "/api/stats/usuario", headers=bearer).status != 200:
            assert time.monotonic() < deadline
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
            refused = http.ask("POST", "/api/guardar_puntaje", {"puntaje": 5, "user_id": 21}, headers=headers)
            assert refused.status == 401, header
            assert refused.problem["error"] == "unauthorized"
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert http.ask("GET", "/api/notificaciones").status == 401
        own = http.ask("GET", "/api/notificaciones", headers=bearer).json["notifications"]
        assert [one["user_id"] for one in own] == [21]
        other = http.ask("GET", "/api/stats/usuario?user_id=22", headers=bearer)
        assert other.status == 401


def test_production_does_not_start_without_a_secret(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, [], {"STAGE": "prod"})
    with pytest.raises(AssertionError, match="JWT_SECRET is not set"):
        gateway.start()
    assert gateway.wait() == 2


def test_a_score_is_saved_without_the_distributed_service(tmp_path: Path) -> None:
    with PersistenceProcess(tmp_path / "data") as persistence, GatewayProcess(tmp_path, [persistence]) as gateway:
        http = Http(gateway)
        assert http.post("/api/guardar_puntaje", {"user_id": 1, "puntaje": 3}).json["success"]
        for path in ("/api/stats/usuario?user_id=1", "/api/stats/global", "/api/notificaciones?user_id=1"):
            reply = http.get(path)
            assert reply.status == 503, path
            assert reply.problem["error"] == "unavailable"
            assert int(reply.headers["retry-after"]) >= 1
