"""Covers: what images become, what is refused, and where they are stored."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.gateway.images.covers import CoverFiles, name_cover
from services.gateway.images.scaler import RefusedImage, scale_image
from services.gateway.images.scaling import Cover, CoverScaler
from shared.domain.covers import small_cover
from shared.domain.errors import InvalidParams, NotFound, StoreError, Unavailable


def draw(kind: str, size: tuple[int, int], mode: str = "RGB", colour: Any = "red", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, kind, **options)
    return out.getvalue()


def declare(size: tuple[int, int]) -> bytes:
    """Returns a PNG of one pixel whose header has another size."""
    image = bytearray(draw("PNG", (1, 1), "1", 0))
    image[16:24] = struct.pack(">II", *size)
    image[29:33] = struct.pack(">I", zlib.crc32(image[12:29]))
    return bytes(image)


def look(image: bytes) -> Image.Image:
    return Image.open(io.BytesIO(image), formats=["WEBP"])


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "P"), ("WEBP", "RGB")]
)
def test_images_become_two_sizes_in_webp(kind: str, mode: str) -> None:
    colour = 1 if mode in ("L", "P") else None
    large, small = scale_image(draw(kind, (1000, 1500), mode, colour or 0))
    assert (look(large).size, look(small).size) == ((800, 1200), (200, 300))
    assert look(large).mode == "RGB"


def test_small_images_are_not_enlarged_and_wide_ones_keep_their_shape() -> None:
    assert look(scale_image(draw("PNG", (90, 60)))[0]).size == (90, 60)
    assert [look(image).size for image in scale_image(draw("PNG", (2000, 500)))] == [(800, 200), (200, 50)]


def test_transparent_parts_become_white() -> None:
    large, _ = scale_image(draw("PNG", (50, 50), "RGBA", (0, 0, 0, 0)))
    pixel = look(large).convert("RGB").getpixel((25, 25))
    assert isinstance(pixel, tuple)
    assert min(pixel) > 250


def test_pictures_are_turned_upright_and_lose_their_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera with a serial number"
    large, _ = scale_image(draw("JPEG", (300, 200), exif=exif.tobytes()))
    assert look(large).size == (200, 300)
    assert not look(large).getexif()
    assert b"serial number" not in large


@pytest.mark.parametrize(
    "image", [b"", b"\x89PNG\r\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", draw("GIF", (5, 5), "P", 1),
              draw("BMP", (5, 5)), draw("PNG", (300, 300))[:200], draw("TIFF", (5, 5))]
)  # fmt: skip
def test_other_files_are_refused(image: bytes) -> None:
    with pytest.raises(RefusedImage):
        scale_image(image)


@pytest.mark.parametrize("size", [(4001, 4000), (20_000, 20_000), (12_001, 10)])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = declare(size)
    monkeypatch.setattr(
        "services.gateway.images.scaler.ImageOps.exif_transpose", lambda _: pytest.fail("it was decoded")
    )
    with pytest.raises(RefusedImage, match="pixels"):
        scale_image(image)


async def test_the_process_scales_and_says_why_it_refuses() -> None:
    made = CoverScaler(at_once=1, seconds=30)
    cover = await made.scale(draw("JPEG", (400, 900)))
    assert (look(cover.large).size, look(cover.small).size) == ((400, 900), (133, 300))
    with pytest.raises(InvalidParams, match="no JPEG, PNG or WebP") as caught:
        await made.scale(b"hello")
    assert caught.value.field == "image"
    made.close()


async def test_the_process_has_no_secret_and_an_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "scaler.py"
    monkeypatch.setattr("services.gateway.images.scaling._SCALER", program)
    monkeypatch.setenv("JWT_SECRET", "x" * 32)
    made = CoverScaler(at_once=1, seconds=0.3)
    program.write_text("import os, sys; sys.stderr.write(','.join(os.environ)); sys.exit(3)")
    with pytest.raises(InvalidParams) as caught:
        await CoverScaler(at_once=1, seconds=30).scale(b"x")
    assert "JWT_SECRET" not in caught.value.message
    program.write_text("import time; time.sleep(60)")
    with pytest.raises(InvalidParams, match="longer than"):
        await made.scale(b"x")
    program.write_text("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(InvalidParams, match="cannot be decoded"):
        await CoverScaler(at_once=1, seconds=30).scale(b"x")
    made._waiting = 1000
    with pytest.raises(Unavailable):
        await made.scale(b"x")
    made.close()


async def test_files_are_stored_read_and_removed(tmp_path: Path) -> None:
    store = CoverFiles(tmp_path / "covers")
    cover = Cover(b"large", b"small")
    name = name_cover("book", cover)
    assert name_cover("other", cover) != name
    for _ in range(2):
        await store.save("main", name, cover)
    assert (await store.load("main", name), await store.load("main", small_cover(name))) == (b"large", b"small")
    assert (tmp_path / "covers" / "main" / name[:2] / name).stat().st_mode & 0o077 == 0
    with pytest.raises(NotFound):
        await store.load("other", name)
    await store.remove("main", name)
    await store.remove("main", name)
    for gone in (name, small_cover(name)):
        with pytest.raises(NotFound):
            await store.load("main", gone)


@pytest.mark.parametrize("tenant", ["..", ".", "A", "a/b", "", "x" * 41])
async def test_a_path_is_made_of_tenants_alone(tenant: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParams):
        await CoverFiles(tmp_path).load(tenant, "0" * 40 + ".webp")


@pytest.mark.parametrize("name", ["../../records.db", "records.db", "0" * 40, "0" * 41 + ".webp", "0" * 40 + ".webp\n"])
async def test_a_path_is_made_of_names_of_covers_alone(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await CoverFiles(tmp_path).load("main", name)


async def test_a_full_disk_is_an_error_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("services.gateway.images.covers.write_file", refuse)
    with pytest.raises(StoreError, match="No space left"):
        await CoverFiles(tmp_path).save("main", "0" * 40 + ".webp", Cover(b"a", b"b"))
