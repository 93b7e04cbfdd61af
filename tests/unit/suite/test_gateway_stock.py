"""Stock over HTTP, in this process: brought in, looked at, changed by hand, taken back, and told when it is low."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp
from tests.support.simulation import pass_time_until

SAMPLE = (Path(__file__).parents[3] / "docs/samples/inventory.csv").read_bytes()


@pytest.fixture
async def inventory(suite: Suite, http: InProcessHttp) -> None:
    """The inventory service of the suite."""
    await suite.start_inventory()


async def shown(http: InProcessHttp, path: str, name: str, is_so: Callable[[Any], object] = bool) -> Any:
    """What an answer has under a name, once it is so."""

    async def look() -> Any:
        found = (await http.get(path)).json.get(name)
        return found if is_so(found) else None

    return await pass_time_until(look)


def sheet(store: str, **counts: int) -> bytes:
    """A file of stock of one store."""
    return "".join(["store,item,count\n", *(f"{store},{item},{count}\n" for item, count in counts.items())]).encode()


async def upload(http: InProcessHttp, data: bytes, query: str = "", content_type: str = "text/csv") -> Any:
    """Sends a file in."""
    return await http.ask("POST", f"/items/upload{query}", data, headers={"Content-Type": content_type})


async def test_a_file_is_previewed_brought_in_and_taken_back(http: InProcessHttp, inventory: None) -> None:
    preview = (await upload(http, SAMPLE, "?dry_run=true")).json
    assert (preview["rows"], preview["new"], preview["faults"]) == (10, 10, 0)
    assert preview["preview"][0] == {"line": 2, "store": "Berlin", "item": "Echo Dot", "before": None, "after": 12}
    assert (await http.get("/items/Berlin")).problem["error"] == "not_found"
    answer = await upload(http, SAMPLE, "?name=sample.csv")
    assert answer.status == 201
    found = answer.json
    assert (found["state"], found["rows"], found["new"], found["name"]) == ("applied", 10, 10, "sample.csv")
    assert (await http.get(answer.headers["location"])).json == found
    assert [one["item"] for one in (await http.get("/items/Berlin?limit=2")).json["items"]] == [
        "Café en grano 1 kg",
        "Echo Dot",
    ]
    everything = (await http.get("/items")).json["items"]
    assert [(one["store"], one["item"]) for one in everything] == sorted(
        (one["store"], one["item"]) for one in everything
    )
    assert {one["item"] for one in everything if one["low"]} == {"Echo Plus", "Fire TV", "Echo Dot", "Kindle"}
    again = await upload(http, SAMPLE)
    assert again.problem["error"] == "conflict"
    assert again.problem["report"]["duplicate_of"] == found["id"]
    assert (await upload(http, SAMPLE, "?again=true")).json["same"] == 10
    undone = await http.post(f"/imports/{found['id']}/undo")
    assert undone.json["state"] == "undone"
    assert (await http.post(f"/imports/{found['id']}/undo")).json["state"] == "undone"
    assert (await http.get("/items/Madrid")).problem["error"] == "not_found"
    assert {one["id"] for one in (await http.get("/imports")).json["imports"]} >= {found["id"]}


async def test_bad_rows_are_told_and_the_good_ones_go_in_only_if_asked(http: InProcessHttp, inventory: None) -> None:
    data = "store;item;count\nBilbao;Sal;3,0\nBilbao;Pimienta;-4\nBilbao;Azúcar\n".encode("cp1252")
    problem = (await upload(http, data)).problem
    assert (problem["error"], problem["line"], problem["status"]) == ("invalid_params", 3, 422)
    report = problem["report"]
    assert (report["delimiter"], report["encoding"], report["faults"]) == (";", "windows-1252", 2)
    assert report["fault_list"][0]["found"] == "-4"
    assert report["fault_list"][0]["column"] == len("Bilbao;Pimienta;") + 1
    assert (await http.get("/items/Bilbao")).status == 404
    assert (await upload(http, data, "?partial=true")).json["faults"] == 2
    assert [one["count"] for one in (await http.get("/items/Bilbao")).json["items"]] == [3]


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
async def test_what_is_no_such_file_is_refused(http: InProcessHttp, inventory: None, data: bytes, told: str) -> None:
    problem = (await upload(http, data)).problem
    assert problem["error"] == "invalid_params"
    assert told in problem["detail"] + problem.get("hint", "")


async def test_forms_are_taken_and_other_bodies_are_not(http: InProcessHttp, inventory: None) -> None:
    form = (
        b'--xx\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--xx\r\nContent-Disposition: form-data; name="file"; filename="tools.csv"\r\nContent-Type: text/csv\r\n\r\n'
        + sheet("Lugo", Martillo=9)
        + b"\r\n--xx--\r\n"
    )
    found = (await upload(http, form, content_type="multipart/form-data; boundary=xx")).json
    assert (found["name"], found["rows"]) == ("tools.csv", 1)
    cut = form.removesuffix(b"\r\n--xx--\r\n")
    assert "cut off" in (await upload(http, cut, content_type="multipart/form-data; boundary=xx")).problem["detail"]
    assert (await upload(http, form, content_type="multipart/form-data")).problem["error"] == "invalid_params"
    assert (await upload(http, b"{}", content_type="application/json")).problem["error"] == "unsupported_media_type"


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
async def test_a_page_of_another_site_brings_nothing_in(
    http: InProcessHttp, inventory: None, headers: dict[str, str], allowed: bool
) -> None:
    answer = await http.ask(
        "POST", "/items/upload?dry_run=true", sheet("Foreign", x=1), headers={**headers, "Content-Type": "text/plain"}
    )
    assert answer.status == (200 if allowed else 403)
    if not allowed:
        assert answer.problem["error"] == "forbidden"
        assert (await http.ask("POST", "/imports/x/undo", headers=headers)).status == 403


async def test_a_count_is_set_by_hand_and_every_change_is_a_movement(http: InProcessHttp, inventory: None) -> None:
    assert (await upload(http, sheet("Vigo", Pan=20))).status == 201
    item = (await http.get("/items/Vigo")).json["items"][0]
    answer = await http.ask("PUT", "/items/Vigo/Pan", {"count": 17}, headers={"If-Match": f'"{item["version"]}"'})
    assert (answer.json["count"], answer.headers["etag"]) == (17, f'"{answer.json["version"]}"')
    stale = await http.ask("PUT", "/items/Vigo/Pan", {"count": 1}, headers={"If-Match": f'"{item["version"]}"'})
    assert stale.problem["error"] == "precondition_failed"
    assert (await http.ask("PUT", "/items/Vigo/Pan", {"count": -1})).problem["error"] == "invalid_params"
    movements = await shown(http, "/items/Vigo/Pan/movements", "movements", lambda found: len(found) == 2)
    assert [(one["change"], one["count"], one["cause"]) for one in movements] == [(-3, 17, "edit"), (20, 20, "import")]
    assert sum(one["change"] for one in movements) == 17
    one = await http.get("/items/Vigo/Pan")
    assert (one.json["count"], one.headers["etag"]) == (17, answer.headers["etag"])
    assert (await http.get("/items/Vigo/Pan", If_None_Match=one.headers["etag"])).status == 304
    assert (await http.get("/items/Vigo/Nada")).problem["error"] == "not_found"
    # A slash in a name, an accent in two parts, and a store with the name of an address.
    assert (await http.ask("PUT", "/items/caf%C3%A9/a", {"count": 8})).status == 200
    assert (await http.get("/items/cafe%CC%81")).json["items"][0]["store"] == "café"
    assert (await http.ask("PUT", "/items/upload/a", {"count": 8})).status == 200
    assert (await http.get("/items/upload")).json["items"][0]["count"] == 8
    for odd in ("%E2%80%A8", "a%E2%80%AEb", "%EF%BB%BFx", "%20"):
        assert (await http.ask("PUT", f"/items/Vigo/{odd}", {"count": 8})).problem["error"] == "invalid_params"
    assert (await http.ask("PUT", "/items/Vigo/1%2F2%20kg", {"count": 8})).json["item"] == "1/2 kg"
    assert (await shown(http, "/items/Vigo/1%2F2%20kg/movements", "movements", bool))[0]["change"] == 8


async def test_a_hand_edit_past_every_service_is_a_movement_too(
    suite: Suite, http: InProcessHttp, inventory: None
) -> None:
    assert (await upload(http, sheet("Reus", Vino=30))).status == 201
    async with suite.connect("tcp_persist_port") as records:
        key = {"store": "Reus", "item": "Vino"}
        assert (await records.ask({"action": "update_item", "table": "Stock", "key": key, "add": {"count": -2}}))[
            "success"
        ]
    movements = await shown(http, "/items/Reus/Vino/movements", "movements", lambda found: len(found) == 2)
    assert (movements[0]["cause"], movements[0]["change"]) == ("edit", -2)


async def test_sums_of_stores_follow_and_pages_go_on(http: InProcessHttp, inventory: None) -> None:
    assert (await upload(http, sheet("Ávila", **{f"i{number:03}": number for number in range(120)}))).status == 201
    stores = await shown(
        http,
        "/stores?limit=1000",
        "stores",
        lambda found: [one for one in found if one["store"] == "Ávila" and one["items"] == 120],
    )
    sums = {one["store"]: one for one in stores}
    assert (sums["Ávila"]["units"], sums["Ávila"]["low"]) == (sum(range(120)), 5)
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await http.get(f"/items/%C3%81vila?limit=50{cursor and f'&cursor={cursor}'}")).json
        seen += [one["item"] for one in page["items"]]
        cursor = page["cursor"]
    assert seen == [f"i{number:03}" for number in range(120)]


async def test_an_export_is_safe_to_open_and_goes_in_again(http: InProcessHttp, inventory: None) -> None:
    rows = b'store,item,count\nSoria,"=1+1",8\nSoria,"a ""b"", c",9\n'
    assert (await upload(http, rows)).status == 201
    answer = await http.get("/items.csv?store=Soria")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    assert b"Soria,'=1+1,8\r\n" in answer.body
    assert (await upload(http, answer.body, "?dry_run=true")).json["same"] == 2
    assert (await http.get("/items.csv?store=Nowhere")).problem["error"] == "not_found"
    assert (await upload(http, sheet("Teruel", a=1))).status == 201
    assert (await http.get("/items.csv")).body.count(b"\r\n") == 4


async def test_ready_tells_of_the_inventory(http: InProcessHttp, inventory: None) -> None:
    found = await shown(http, "/ready", "dependencies", lambda found: "inventory" in found)
    assert found["inventory"]["status"] == "ok"


async def test_pages_go_on_past_what_has_no_count(suite: Suite, http: InProcessHttp, inventory: None) -> None:
    async with suite.connect("tcp_persist_port") as records:
        for item in ({"store": "Odd", "item": "a"}, {"store": "Odd", "item": "b", "count": "4"}):
            assert (await records.ask({"action": "put_item", "table": "Stock", "item": item}))["success"]
    assert (await http.ask("PUT", "/items/Odd/c", {"count": 8})).status == 200
    assert [one["item"] for one in (await http.get("/items/Odd")).json["items"]] == ["c"]
    assert (await http.get("/items.csv?store=Odd")).body.endswith(b"Odd,c,8\r\n")
    assert (await upload(http, sheet("Odd", a=1), "?dry_run=true")).json["new"] == 1
    assert (await http.get("/alerts?cursor=nonsense")).problem["error"] == "invalid_params"


async def test_low_stock_fires_once_for_each_crossing(suite: Suite, everything: InProcessHttp) -> None:
    await suite.start_inventory()
    assert (await upload(everything, sheet("Jaén", Aceite=9))).status == 201
    async with everything.stream("?topics=stock") as stream:
        for count in (4, 3, 5, 4, 7, 4):
            assert (await everything.ask("PUT", "/items/Ja%C3%A9n/Aceite", {"count": count})).status == 200
        told = await stream.next("stock.low", "stock.recovered", "stock.low")
    assert [(one["count"], one["number"]) for one in (told[0], told[2])] == [(4, 1), (4, 2)]
    (alert,) = (await everything.get("/alerts?state=open")).json["alerts"]
    assert (alert["item"], alert["number"]) == ("Aceite", 2)
    messages = [one["message"] for one in (await everything.get("/api/notificaciones?user_id=1")).json["notifications"]]
    assert sum("Aceite" in message for message in messages) == 2
    named = {"store": "Jaén", "item": "Aceite"}
    for _ in range(2):
        assert (await everything.post("/alerts/acknowledge", named)).json["state"] == "acknowledged"
    assert (await everything.get("/alerts?state=open")).json["alerts"] == []
    unknown = await everything.post("/alerts/acknowledge", {"store": "Jaén", "item": "Nada"})
    assert unknown.problem["error"] == "not_found"


async def test_a_file_beyond_the_limit_is_refused(suite: Suite, inventory: None) -> None:
    http = InProcessHttp(await suite.start_gateway(max_upload_bytes=20_000))
    problem = (await upload(http, b"store,item,count\n" + b"Big,item,5\n" * 3000)).problem
    assert (problem["error"], problem["status"]) == ("too_large", 413)
    assert "MAX_UPLOAD_BYTES" in problem["hint"]
    assert (await http.get("/items/Big")).status == 404
    # What says so itself is not read at all.
    told = {"Content-Type": "text/csv", "Content-Length": "99999999"}
    assert (await http.ask("POST", "/items/upload", b"store", headers=told)).status == 413


@pytest.mark.parametrize(
    ("settings", "slow", "other"),
    [
        ({"max_uploads": 1, "request_seconds": 60.0, "upload_seconds": 1.0}, b"HTTP/1.1 408", 200),
        ({"max_uploads": 1, "request_seconds": 1.0, "upload_seconds": 600.0}, None, 503),
    ],
)
async def test_a_slow_upload_does_not_keep_its_place_for_good(
    suite: Suite, inventory: None, settings: dict[str, Any], slow: bytes | None, other: int
) -> None:
    http = InProcessHttp(await suite.start_gateway(**settings))
    reader, writer = await http.open()
    writer.write(
        b"POST /items/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        b"Content-Length: 100000\r\n\r\nstore,item,count\n"
    )
    for _ in range(30):
        await asyncio.sleep(0.05)
        writer.write(b"x")
    assert (await upload(http, sheet("Slow", x=1), "?dry_run=true")).status == other
    if slow is not None:
        assert (await reader.read(12)) == slow
    writer.close()
