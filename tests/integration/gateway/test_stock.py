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


def test_bad_rows_are_told_and_the_good_ones_go_in_only_if_asked(http: Http, inventory: InventoryProcess) -> None:
    data = "store;item;count\nBilbao;Sal;3,0\nBilbao;Pimienta;-4\nBilbao;Azúcar\n".encode("cp1252")
    problem = upload(http, data).problem
    assert (problem["error"], problem["line"], problem["status"]) == ("invalid_params", 3, 422)
    report = problem["report"]
    assert (report["delimiter"], report["encoding"], report["faults"]) == (";", "windows-1252", 2)
    assert report["fault_list"][0]["found"] == "-4"
    assert report["fault_list"][0]["column"] == len("Bilbao;Pimienta;") + 1
    assert http.get("/items/Bilbao").status == 404
    assert upload(http, data, "?partial=true").json["faults"] == 2
    assert [one["count"] for one in http.get("/items/Bilbao").json["items"]] == [3]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 a spreadsheet", "CSV"),
        (b"a,b,c\n1,2,3\n", "store"),
        (b"store,item,item,count\nx,y,z,1\n", "item"),
        (b"store,item,count\n", "no row"),
    ],
)
def test_what_is_no_such_file_is_refused(http: Http, inventory: InventoryProcess, data: bytes, told: str) -> None:
    problem = upload(http, data).problem
    assert problem["error"] == "invalid_params"
    assert told in problem["detail"] + problem.get("hint", "")


def test_forms_are_taken_and_other_bodies_are_not(http: Http, inventory: InventoryProcess) -> None:
    form = (
        b'--xx\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--xx\r\nContent-Disposition: form-data; name="file"; filename="tools.csv"\r\nContent-Type: text/csv\r\n\r\n'
        + sheet("Lugo", Martillo=9)
        + b"\r\n--xx--\r\n"
    )
    found = upload(http, form, content_type="multipart/form-data; boundary=xx").json
    assert (found["name"], found["rows"]) == ("tools.csv", 1)
    cut = form.removesuffix(b"\r\n--xx--\r\n")
    assert "cut off" in upload(http, cut, content_type="multipart/form-data; boundary=xx").problem["detail"]
    assert upload(http, form, content_type="multipart/form-data").problem["error"] == "invalid_params"
    assert upload(http, b"{}", content_type="application/json").problem["error"] == "unsupported_media_type"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}, True),
        ({}, True),
    ],
)
def test_a_page_of_another_site_brings_nothing_in(
    http: Http, inventory: InventoryProcess, headers: dict[str, str], allowed: bool
) -> None:
    answer = http.ask(
        "POST", "/items/upload?dry_run=true", sheet("Foreign", x=1), headers={**headers, "Content-Type": "text/plain"}
    )
    assert answer.status == (200 if allowed else 403)
    if not allowed:
        assert answer.problem["error"] == "forbidden"
        assert http.ask("POST", "/imports/x/undo", headers=headers).status == 403


def test_a_count_is_set_by_hand_and_every_change_is_a_movement(http: Http, inventory: InventoryProcess) -> None:
    assert upload(http, sheet("Vigo", Pan=20)).status == 201
    item = http.get("/items/Vigo").json["items"][0]
    answer = http.ask("PUT", "/items/Vigo/Pan", {"count": 17}, headers={"If-Match": f'"{item["version"]}"'})
    assert (answer.json["count"], answer.headers["etag"]) == (17, f'"{answer.json["version"]}"')
    stale = http.ask("PUT", "/items/Vigo/Pan", {"count": 1}, headers={"If-Match": f'"{item["version"]}"'})
    assert stale.problem["error"] == "precondition_failed"
    assert http.ask("PUT", "/items/Vigo/Pan", {"count": -1}).problem["error"] == "invalid_params"
    movements = until(lambda: http.get("/items/Vigo/Pan/movements").json["movements"], lambda found: len(found) == 2)
    assert [(one["change"], one["count"], one["cause"]) for one in movements] == [(-3, 17, "edit"), (20, 20, "import")]
    assert sum(one["change"] for one in movements) == 17
    one = http.get("/items/Vigo/Pan")
    assert (one.json["count"], one.headers["etag"]) == (17, answer.headers["etag"])
    assert http.get("/items/Vigo/Pan", If_None_Match=one.headers["etag"]).status == 304
    assert http.get("/items/Vigo/Nada").problem["error"] == "not_found"
    # A slash in a name, an accent in two parts, and a store with the name of an address.
    assert http.ask("PUT", "/items/caf%C3%A9/a", {"count": 8}).status == 200
    assert http.get("/items/cafe%CC%81").json["items"][0]["store"] == "café"
    assert http.ask("PUT", "/items/upload/a", {"count": 8}).status == 200
    assert http.get("/items/upload").json["items"][0]["count"] == 8
    for odd in ("%E2%80%A8", "a%E2%80%AEb", "%EF%BB%BFx", "%20"):
        assert http.ask("PUT", f"/items/Vigo/{odd}", {"count": 8}).problem["error"] == "invalid_params"
    assert http.ask("PUT", "/items/Vigo/1%2F2%20kg", {"count": 8}).json["item"] == "1/2 kg"
    assert until(lambda: http.get("/items/Vigo/1%2F2%20kg/movements").json["movements"], bool)[0]["change"] == 8


def test_a_hand_edit_past_every_service_is_a_movement_too(
    suite: Suite, http: Http, inventory: InventoryProcess
) -> None:
    assert upload(http, sheet("Reus", Vino=30)).status == 201
    with suite.persistence.connect() as records:
        key = {"store": "Reus", "item": "Vino"}
        assert records.ask({"action": "update_item", "table": "Stock", "key": key, "add": {"count": -2}})["success"]
    movements = until(lambda: http.get("/items/Reus/Vino/movements").json["movements"], lambda found: len(found) == 2)
    assert (movements[0]["cause"], movements[0]["change"]) == ("edit", -2)


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


def test_sums_of_stores_follow_and_pages_go_on(http: Http, inventory: InventoryProcess) -> None:
    assert upload(http, sheet("Ávila", **{f"i{number:03}": number for number in range(120)})).status == 201
    sums = until(
        lambda: {one["store"]: one for one in http.get("/stores?limit=1000").json["stores"]},
        lambda found: found.get("Ávila", {}).get("items") == 120,
    )
    assert (sums["Ávila"]["units"], sums["Ávila"]["low"]) == (sum(range(120)), 5)
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = http.get(f"/items/%C3%81vila?limit=50{cursor and f'&cursor={cursor}'}").json
        seen += [one["item"] for one in page["items"]]
        cursor = page["cursor"]
    assert seen == [f"i{number:03}" for number in range(120)]


def test_an_export_is_safe_to_open_and_goes_in_again(http: Http, inventory: InventoryProcess) -> None:
    rows = b'store,item,count\nSoria,"=1+1",8\nSoria,"a ""b"", c",9\n'
    assert upload(http, rows).status == 201
    answer = http.get("/items.csv?store=Soria")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    assert b"Soria,'=1+1,8\r\n" in answer.body
    assert upload(http, answer.body, "?dry_run=true").json["same"] == 2
    assert http.get("/items.csv?store=Nowhere").problem["error"] == "not_found"
    assert http.get("/items.csv").body.count(b"\r\n") > 3


def test_ready_tells_of_the_inventory(http: Http, inventory: InventoryProcess) -> None:
    found = until(lambda: http.get("/ready").json["dependencies"], lambda found: "inventory" in found)
    assert found["inventory"]["status"] == "ok"


def test_a_file_beyond_the_limit_is_refused(suite: Suite, inventory: InventoryProcess) -> None:
    with_limit = type(suite.gateway)(
        suite.intake.data_dir,
        [suite.intake, suite.persistence, suite.distributed],
        {"MAX_UPLOAD_BYTES": 200_000},
    )
    with with_limit as gateway:
        data = b"store,item,count\n" + b"".join(b"Big,item %d,5\n" % number for number in range(20_000))
        problem = upload(Http(gateway), data).problem
        assert (problem["error"], problem["status"]) == ("too_large", 413)
        assert "MAX_UPLOAD_BYTES" in problem["hint"]
        assert Http(gateway).get("/items/Big").status == 404
        # What says so itself is not read at all.
        told = {"Content-Type": "text/csv", "Content-Length": "99999999"}
        assert Http(gateway).ask("POST", "/items/upload", b"store", headers=told).status == 413


def test_pages_go_on_past_what_has_no_count(suite: Suite, http: Http, inventory: InventoryProcess) -> None:
    with suite.persistence.connect() as records:
        for item in ({"store": "Odd", "item": "a"}, {"store": "Odd", "item": "b", "count": "4"}):
            assert records.ask({"action": "put_item", "table": "Stock", "item": item})["success"]
    assert http.ask("PUT", "/items/Odd/c", {"count": 8}).status == 200
    assert [one["item"] for one in http.get("/items/Odd").json["items"]] == ["c"]
    assert http.get("/items.csv?store=Odd").body.endswith(b"Odd,c,8\r\n")
    assert upload(http, sheet("Odd", a=1), "?dry_run=true").json["new"] == 1
    assert http.get("/alerts?cursor=nonsense").problem["error"] == "invalid_params"


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
