"""Covers of books over HTTP, in this process: uploaded, scaled, served, and replaced."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.gateway.images.scaling import Cover, CoverScaler
from tests.support.http import Reply
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp
from tests.unit.suite.test_gateway_books import BOOKS, add

PNG = {"Content-Type": "image/png"}


@pytest.fixture
async def book(http: InProcessHttp) -> dict[str, Any]:
    """A book without a cover."""
    answer = await add(http)
    return {**answer.json["book"], "etag": answer.headers["etag"]}


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that become covers without a process."""

    async def scale(_: CoverScaler, image: bytes) -> Cover:
        await asyncio.sleep(0)
        return Cover(b"large " + image[:10], b"small")

    monkeypatch.setattr(CoverScaler, "scale", scale)


def draw(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (500, 750), colour).save(out, "PNG")
    return out.getvalue()


def stored(suite: Suite) -> list[Path]:
    """Returns the files of covers."""
    return [path for path in (suite.folder / "covers").rglob("*") if path.is_file()]


def put_secret(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "secret").write_text("x")


async def upload(http: InProcessHttp, book: dict[str, Any], image: bytes, **headers: str) -> Reply:
    return await http.ask("POST", f"{BOOKS}/{book['book_id']}/cover", image, headers={**PNG, **headers})


async def test_a_cover_is_scaled_and_served_for_good(http: InProcessHttp, book: dict[str, Any]) -> None:
    answer = await upload(http, book, draw("red"), **{"If-Match": book["etag"]})
    assert answer.status == 200
    shown = answer.json["book"]
    assert shown["cover_image_url"].startswith("/api/v1/covers/main/")
    image = await http.get(shown["cover_image_url"])
    assert (image.headers["content-type"], image.headers["x-content-type-options"]) == ("image/webp", "nosniff")
    assert "immutable" in image.headers["cache-control"]
    assert Image.open(io.BytesIO(image.body)).size == (500, 750)
    small = await http.get(shown["thumbnail_url"])
    assert Image.open(io.BytesIO(small.body)).size == (200, 300)
    assert (await http.get(shown["cover_image_url"], If_None_Match=image.headers["etag"])).status == 304
    refused = await upload(http, book, b"<svg onload='alert(1)'/>")
    assert (refused.problem["error"], refused.problem["field"]) == ("invalid_params", "image")
    assert (await http.get(f"{BOOKS}/{book['book_id']}")).json["cover_image_url"] == shown["cover_image_url"]


@pytest.mark.usefixtures("scaled")
async def test_a_new_cover_has_a_new_name_and_takes_the_old_one_away(
    http: InProcessHttp, book: dict[str, Any], suite: Suite
) -> None:
    first = (await upload(http, book, b"one")).json["book"]["cover_image_url"]
    assert (await upload(http, book, b"one")).json["book"]["cover_image_url"] == first
    assert (await http.get(first)).body == b"large one"
    second = (await upload(http, book, b"two")).json["book"]["cover_image_url"]
    assert (await http.get(first)).problem["error"] == "not_found"
    assert (await http.get(second)).body == b"large two"
    assert len(stored(suite)) == 2
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nthree\r\n--x--\r\n'
    sent = await upload(http, book, form, **{"Content-Type": "multipart/form-data; boundary=x"})
    assert (await http.get(sent.json["book"]["cover_image_url"])).body == b"large three"


@pytest.mark.usefixtures("scaled")
async def test_an_address_of_another_kind_takes_the_upload_away(
    http: InProcessHttp, book: dict[str, Any], suite: Suite
) -> None:
    path = f"{BOOKS}/{book['book_id']}"
    url = (await upload(http, book, b"one")).json["book"]["cover_image_url"]
    assert (await http.ask("PUT", path, {"price": 1, "cover_image_url": url})).status == 200
    assert (await http.get(url)).status == 200
    shown = (await http.ask("PUT", path, {"cover_image_url": "https://x.example/a.png"})).json["book"]
    assert shown["cover_image_url"] == shown["thumbnail_url"] == "https://x.example/a.png"
    assert not stored(suite)


@pytest.mark.usefixtures("scaled")
async def test_a_copied_address_takes_nothing_from_another_book(http: InProcessHttp, book: dict[str, Any]) -> None:
    url = (await upload(http, book, b"one")).json["book"]["cover_image_url"]
    other = (await add(http, 1, cover_image_url=url)).json["book"]
    assert (await upload(http, other, b"two")).json["book"]["cover_image_url"] != url
    assert (await http.get(url)).body == b"large one"


@pytest.mark.usefixtures("scaled")
async def test_an_upload_that_is_not_taken_changes_nothing(
    http: InProcessHttp, book: dict[str, Any], suite: Suite
) -> None:
    for sent, error in (
        (await upload(http, book, b"x" * 5_242_881), "too_large"),
        (await upload(http, book, b""), "invalid_params"),
        (await upload(http, book, b"x", **{"Content-Type": "text/html"}), "unsupported_media_type"),
        (await upload(http, {"book_id": "none"}, b"x"), "not_found"),
        (await upload(http, book, b"x", **{"If-Match": '"9.9"'}), "precondition_failed"),
        (await http.ask("POST", f"{BOOKS}/{book['book_id']}/cover?tenant_id=b", b"x", headers=PNG), "forbidden"),
    ):
        assert sent.problem["error"] == error
    assert (await http.get(f"{BOOKS}/{book['book_id']}")).json["cover_image_url"] == ""
    assert not stored(suite)


async def test_no_other_file_is_served(http: InProcessHttp, suite: Suite) -> None:
    put_secret(suite.folder / "covers" / "main")
    for path in ("main/secret", "main/..%2Fsecret", "..%2Fcovers/secret", f"other/{'0' * 40}.webp"):
        assert (await http.get(f"/api/v1/covers/{path}")).status in (404, 422)


@pytest.mark.usefixtures("scaled")
async def test_an_uploaded_cover_is_chosen_by_its_address(
    http: InProcessHttp, book: dict[str, Any], suite: Suite
) -> None:
    url = (await upload(http, book, b"one")).json["book"]["cover_image_url"]
    other = (await add(http, 1)).json["book"]["book_id"]
    path = f"{BOOKS}/{other}/image"
    first = (await upload(http, {"book_id": other}, b"two")).json["book"]["cover_image_url"]
    answer = await http.ask("PUT", path, {"cover_image_url": url})
    assert (answer.status, answer.json["book_id"], answer.json["cover_image_url"]) == (200, other, url)
    assert answer.json["book"]["thumbnail_url"].endswith("-small.webp")
    assert (await http.get(first)).problem["error"] == "not_found"
    sent = {"cover_image_url": f"http://localhost{url}"}
    assert (await http.ask("PUT", path, sent, headers={"Host": "localhost"})).status == 200
    for wrong in (
        "https://x.example/a.png",
        f"https://x.example{url}",
        f"//x.example{url}",
        f"{url}?a=1",
        url.replace("/main/", "/other/"),
        url.replace(".webp", "-small.webp"),
        f"/api/v1/covers/main/{'0' * 40}.webp",
        "http://[x",
        "",
    ):
        refused = await http.ask("PUT", path, {"cover_image_url": wrong})
        assert (refused.status, refused.problem["field"]) == (422, "cover_image_url"), wrong
    assert (await http.get(f"{BOOKS}/{other}")).json["cover_image_url"] == url
    assert len(stored(suite)) == 2
    assert (await http.ask("PUT", f"{BOOKS}/none/image", {"cover_image_url": url})).status == 404
