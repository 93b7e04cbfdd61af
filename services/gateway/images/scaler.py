"""Scales one image to a book's cover: an image on standard input, two WebP images on standard output.

It runs as a process of its own, since it decodes what strangers send: with limits on memory and processor time, without
the server's secrets, and without any other module of this program. Exit status 3 means that the image is refused, with
the reason on standard error.
"""

import io
import resource
import struct
import sys
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 16_000_000
MAX_SIDE = 12_000
LARGE = (800, 1200)
SMALL = (200, 300)
"""Boxes in pixels into which an image is scaled; smaller ones are not enlarged."""
REFUSED = 3
LENGTH = struct.Struct(">I")
"""The length of the large image, before it."""

_SCALED_AS_THEY_ARE = ("RGB", "RGBA", "L", "CMYK")
_MEMORY_BYTES = 512 * 2**20
_PROCESSOR_SECONDS = 10
_QUALITY = 80


class RefusedImage(Exception):
    """The image is not one that covers are made of."""


def scale_image(data: bytes) -> tuple[bytes, bytes]:
    """Returns the large and the small cover in WebP, without metadata. Raises RefusedImage."""
    try:
        image = _decode_image(data)
        large, small = _encode(image), _encode(_fit(image, SMALL))
    except RefusedImage:
        raise
    except UnidentifiedImageError:
        raise RefusedImage("the file is no JPEG, PNG or WebP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedImage(f"the image has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:
        # The decoders raise what they like, MemoryError included.
        raise RefusedImage(f"the image cannot be decoded ({type(error).__name__})") from None
    return large, small


def _decode_image(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = opened.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise RefusedImage(f"the image has {width} x {height} pixels; at most {MAX_PIXELS:,} are read")
    # A JPEG is decoded at a fraction of its size where that is enough.
    opened.draft("RGB", (2 * LARGE[0], 2 * LARGE[1]))
    # Cameras turn pictures by a tag, which is lost with the other metadata.
    ImageOps.exif_transpose(opened, in_place=True)
    transparent = opened.has_transparency_data
    image: Image.Image = opened
    if opened.mode not in _SCALED_AS_THEY_ARE or (transparent and opened.mode != "RGBA"):
        image = opened.convert("RGBA" if transparent else "RGB")
    # Scaled first: every other step would need the memory of all pixels once more.
    image = _fit(image, LARGE)
    if transparent:
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        return paper
    return image.convert("RGB")


def _fit(image: Image.Image, box: tuple[int, int]) -> Image.Image:
    if image.width <= box[0] and image.height <= box[1]:
        return image
    return ImageOps.contain(image, box, Image.Resampling.LANCZOS)


def _encode(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=_QUALITY)
    return out.getvalue()


def main() -> int:
    """Scales the image on standard input. Returns the exit status."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        large, small = scale_image(sys.stdin.buffer.read())
    except RefusedImage as refusal:
        sys.stderr.write(str(refusal))
        return REFUSED
    sys.stdout.buffer.write(LENGTH.pack(len(large)) + large + small)
    return 0


if __name__ == "__main__":
    sys.exit(main())
