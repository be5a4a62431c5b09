"""Pictures for tests."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


def photo(kind: str = "JPEG", size: tuple[int, int] = (640, 480), **options: Any) -> bytes:
    """Return a picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()
