"""Small copies of photos: how many are made at once, and the kinds of pixels."""

import io

import pytest
from PIL import Image

from infrastructure import pictures
from infrastructure.pictures import Busy, make_copy


def picture(mode, kind="PNG"):
    content = io.BytesIO()
    Image.new(mode, (400, 100)).save(content, kind)
    content.seek(0)
    return content


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_a_copy_is_made_of_pixels_of_every_kind(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    copy = Image.open(io.BytesIO(make_copy(picture(mode, kind), 200)))
    assert copy.size == (200, 50)


def test_a_picture_of_one_pixel_width_keeps_a_pixel():
    content = io.BytesIO()
    Image.new("RGB", (1, 5000)).save(content, "PNG")
    assert Image.open(io.BytesIO(make_copy(content, 320))).size == (1, 320)


def test_a_copy_is_refused_while_others_take_all_turns(monkeypatch):
    monkeypatch.setattr(pictures, "WAIT_SECONDS", 0.01)
    with pictures.turn(), pytest.raises(Busy):
        make_copy(picture("RGB"), 320)
    assert make_copy(picture("RGB"), 320)
