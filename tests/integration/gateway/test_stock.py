"""Stock over HTTP: brought in, looked at, changed by hand, taken back, and told when it is low."""

import re
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.integration.gateway.conftest import Suite
from tests.support.http import EventStream, Http
from tests.support.intake import PATIENCE, GatewayProcess, InventoryProcess
from tests.support.waiting import until

SAMPLE = (Path(__file__).parents[3] / "docs/samples/inventory.csv").read_bytes()


@pytest.fixture(scope="module")
def inventory(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InventoryProcess]:
    """The inventory service of the suite."""
    with InventoryProcess(suite.intake.data_dir, [suite.intake, suite.persistence, suite.distributed]) as process:
        yield process


def sheet(store: str, **counts: int) -> bytes:
    """A file of stock of one store."""
    return "".join(["store,item,count\n", *(f"{store},{item},{count}\n" for item, count in counts.items())]).encode()


def upload(http: Http, data: bytes, query: str = "", content_type: str = "text/csv") -> Any:
    """Sends a file in."""
    return http.ask("POST", f"/items/upload{query}", data, headers={"Content-Type": content_type})


def test_a_file_is_previewed_brought_in_and_taken_back(http: Http, inventory: InventoryProcess) -> None:
    preview = upload(http, SAMPLE, "?dry_run=true").json
    assert (preview["rows"], preview["new"], preview["faults"]) == (10, 10, 0)
    assert preview["preview"][0] == {"line": 2, "store": "Berlin", "item": "Echo Dot", "before": None, "after": 12}
    assert http.get("/items/Berlin").problem["error"] == "not_found"
    answer = upload(http, SAMPLE, "?name=sample.csv")
    assert answer.status == 201
    found = answer.json
    assert (found["state"], found["rows"], found["new"], found["name"]) == ("applied", 10, 10, "sample.csv")
    assert http.get(answer.headers["location"]).json == found
    assert [one["item"] for one in http.get("/items/Berlin?limit=2").json["items"]] == [
        "Café en grano 1 kg",
        "Echo Dot",
    ]
    everything = http.get("/items").json["items"]
    assert [(one["store"], one["item"]) for one in everything] == sorted(
        (one["store"], one["item"]) for one in everything
    )
    assert {one["item"] for one in everything if one["low"]} == {"Echo Plus", "Fire TV", "Echo Dot", "Kindle"}
    again = upload(http, SAMPLE)
    assert again.problem["error"] == "conflict"
    assert again.problem["report"]["duplicate_of"] == found["id"]
    assert upload(http, SAMPLE, "?again=true").json["same"] == 10
    undone = http.post(f"/imports/{found['id']}/undo")
    assert undone.json["state"] == "undone"
    assert http.post(f"/imports/{found['id']}/undo").json["state"] == "undone"
    assert http.get("/items/Madrid").problem["error"] == "not_found"
    assert {one["id"] for one in http.get("/imports").json["imports"]} >= {found["id"]}


def test_low_stock_fires_once_for_each_crossing(suite: Suite, http: Http, inventory: InventoryProcess) -> None:
    assert upload(http, sheet("Jaén", Aceite=9)).status == 201
    with EventStream(suite.gateway, "?topics=stock") as stream:
        events = stream.events()
        for count in (4, 3, 5, 4, 7, 4):
            assert http.ask("PUT", "/items/Ja%C3%A9n/Aceite", {"count": count}).status == 200
        told: list[tuple[Any, ...]] = []
        while len(told) < 3:
            event = next(events)
            if event.get("item") == "Aceite":
                told.append((event["event"], event.get("count"), event.get("number")))
    assert told[0] == ("stock.low", 4, 1)
    assert told[1][0] == "stock.recovered"
    assert told[2] == ("stock.low", 4, 2)
    alerts = http.get("/alerts?state=open").json["alerts"]
    assert [(one["count"], one["number"]) for one in alerts if one["item"] == "Aceite"] == [(4, 2)]
    messages = [one["message"] for one in http.get("/api/notificaciones?user_id=1").json["notifications"]]
    assert sum("Aceite" in message for message in messages) == 2
    named = {"store": "Jaén", "item": "Aceite"}
    assert http.post("/alerts/acknowledge", named).json["state"] == "acknowledged"
    assert http.post("/alerts/acknowledge", named).json["state"] == "acknowledged"
    assert not [one for one in http.get("/alerts?state=open").json["alerts"] if one["item"] == "Aceite"]
    assert [one for one in http.get("/alerts").json["alerts"] if one["item"] == "Aceite"]
    assert http.post("/alerts/acknowledge", {"store": "Jaén", "item": "Nada"}).problem["error"] == "not_found"


def test_ready_tells_of_the_inventory(http: Http, inventory: InventoryProcess) -> None:
    found = until(lambda: http.get("/ready").json["dependencies"], lambda found: "inventory" in found)
    assert found["inventory"]["status"] == "ok"


class Dripping:
    """An upload that comes a byte at a time, until it is answered or nobody wants to see more of it."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE)
        self._socket.sendall(
            b"POST /items/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
            b"Content-Length: 100000\r\n\r\nstore,item,count\n"
        )
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._drip)
        self._thread.start()

    def _drip(self) -> None:
        while not self._enough.is_set() and not select.select([self._socket], [], [], 0.05)[0]:
            self._socket.sendall(b"x")

    def answer(self) -> bytes:
        """The answer, once there is one."""
        self._thread.join(PATIENCE)
        return self._socket.recv(65536)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(PATIENCE)
        self._socket.close()


@pytest.mark.parametrize(
    ("settings", "slow", "other"),
    [
        ({"MAX_UPLOADS": 1, "REQUEST_SECONDS": 60, "UPLOAD_SECONDS": 1}, 408, 200),
        ({"MAX_UPLOADS": 1, "REQUEST_SECONDS": 1, "UPLOAD_SECONDS": 600}, None, 503),
    ],
)
def test_a_slow_upload_does_not_keep_its_place_for_good(
    suite: Suite, inventory: InventoryProcess, settings: dict[str, int], slow: int | None, other: int
) -> None:
    servers = [suite.intake, suite.persistence, suite.distributed]
    with GatewayProcess(suite.intake.data_dir, servers, settings) as gateway, Dripping(gateway) as dripping:
        http = Http(gateway)
        # It has its place, and /metrics itself is at work.
        until(lambda: http.get("/metrics").body, lambda text: re.search(rb"comanda_http_at_work\S* 2\.0", text))
        assert upload(http, sheet("Slow", x=1), "?dry_run=true").status == other
        if slow is not None:
            assert dripping.answer().startswith(b"HTTP/1.1 %d" % slow)
