"""Makes small copies of photos for pages. The content of a file is never sent to a browser as an image.

A copy is made of the pixels alone: it has no metadata (EXIF, position, comments) and nothing else.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

MEDIA_TYPE = "image/webp"
MEDIA_TYPES = frozenset(("image/jpeg", "image/png", "image/webp", "image/gif"))
# So that a copy takes at most 250 MB of memory. A baseline JPEG is decoded at a fraction of its size. All
# pixels of the others are in memory at once: 4 to 10 bytes each, or 16 for WebP.
MAX_PIXELS_BASELINE = 64_000_000
MAX_PIXELS = {"JPEG": 25_000_000, "PNG": 25_000_000, "GIF": 25_000_000, "WEBP": 12_500_000}
AT_ONCE = 1  # in each process
WAIT_SECONDS = 5.0
_QUALITY = 78
_EFFORT = 2  # of 0 to 6; higher ones need several times as long for a few per cent of the bytes

Image.MAX_IMAGE_PIXELS = None  # `_require_size` checks the size, before the pixels are decoded

_turns = threading.BoundedSemaphore(AT_ONCE)


class NotShown(Exception):
    """There is no copy of this file. The message says why, for people."""


class Busy(Exception):
    """Other copies took all turns for WAIT_SECONDS."""


def make_copy(stream: IO[bytes], side: int) -> bytes:
    """A WebP of the first picture in the file, at most `side` pixels high and wide, turned as its EXIF says.

    `stream` must allow seek. Raises NotShown, or Busy.
    """
    with turn():
        try:
            with Image.open(stream, formats=list(MAX_PIXELS)) as image:
                _require_size(image)
                return _encode(_reduce(image, side))
        except NotShown:
            raise
        except Exception as error:  # decoders raise errors of every kind for damaged files
            raise NotShown("This file is not a complete picture of a known kind.") from error


def _require_size(image: Image.Image) -> None:
    """Raise NotShown if the decoded picture would need too much memory."""
    width, height = image.size
    kind = "JPEG" if isinstance(image, JpegImageFile) else str(image.format)
    limit = MAX_PIXELS[kind]
    if kind == "JPEG" and not image.info.get("progressive"):
        limit = MAX_PIXELS_BASELINE
    if width * height > limit:
        raise NotShown(
            f"This picture has {width:,} × {height:,} pixels. Pages show at most"
            f" {limit / 1_000_000:g} million pixels of this kind of picture."
        )


def _reduce(image: Image.Image, side: int) -> Image.Image:
    """The picture in the wanted size, upright, as RGB or RGBA."""
    image.draft("RGB", (2 * side, 2 * side))  # a JPEG is decoded at no more than about twice the size
    mode = "RGBA" if image.has_transparency_data else "RGB"
    small = image if image.mode == mode else image.convert(mode)
    small.thumbnail((side, side), reducing_gap=2.0)
    return ImageOps.exif_transpose(small)


def _encode(image: Image.Image) -> bytes:
    image.info.clear()  # otherwise the encoder copies the colour profile and the metadata
    copy = io.BytesIO()
    image.save(copy, "WEBP", quality=_QUALITY, method=_EFFORT, exif=b"", xmp=b"")
    return copy.getvalue()


@contextmanager
def turn() -> Iterator[None]:
    if not _turns.acquire(timeout=WAIT_SECONDS):
        raise Busy
    try:
        yield
    finally:
        _turns.release()
