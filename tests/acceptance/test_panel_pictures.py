"""Photos on pages: copies made by the server, without metadata, and files that are no photos."""

from __future__ import annotations

import io
import re

import boto3
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from tests.acceptance.panel import browser_of, give_passwords
from tests.acceptance.pictures import photo
from tests.acceptance.site import Site
from tests.support.postgres import cloned_database

POLICY = "sandbox; default-src 'none'"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heicmif1" + bytes(200)
ORIENTATION, MAKE, GPS = 0x0112, 0x010F, 0x8825


def photo_of_a_phone():
    """A photo that was taken with the phone turned, with the maker of the phone and the place in its EXIF."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = 6, "Maker of the phone"
    exif.get_ifd(GPS)[1] = "N"
    return photo(exif=exif)


@pytest.fixture(scope="module")
def browsers(site):
    give_passwords(site)
    return {role: browser_of(site, role) for role in ("staff", "guest")}


@pytest.fixture
def attach(site):
    """Returns a function that attaches a file to a new ticket and returns the address of its page."""

    def attach(content, content_type="image/jpeg", name="leak.jpg"):
        path = f"tickets/{site.ticket('guest')['id']}/attachments"
        answer = site.client("staff").post(f"/v1/{path}", files={"file": (name, content, content_type)})
        return f"/admin/{path}/{answer.json()['data']['id']}"

    return attach


def copy_of(answer):
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp"), answer.text
    return Image.open(io.BytesIO(answer.content))


def is_icon(answer):
    return answer.status_code == 200 and answer.headers["Content-Type"] == "image/svg+xml"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("role", ["staff", "guest"])
def test_a_photo_has_a_thumbnail_and_a_picture_for_those_who_may_see_the_ticket(browsers, attach, kind, role):
    path = attach(photo(kind, (4000, 3000)), f"image/{kind.lower()}")

    thumbnail, picture = (browsers[role].open(f"{path}/{name}") for name in ("thumbnail", "picture"))

    assert [copy_of(one).size for one in (thumbnail, picture)] == [(320, 240), (1600, 1200)]
    for answer in (thumbnail, picture):
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "private, max-age=86400"


def test_a_copy_is_upright_and_has_no_metadata(browsers, attach):
    path = attach(photo_of_a_phone())

    copy = copy_of(browsers["staff"].open(f"{path}/thumbnail"))

    assert copy.size == (240, 320)
    red, _, blue = copy.convert("RGB").getpixel((120, 20))
    assert red > 200 > 50 > blue  # the left half is now above
    assert not copy.getexif()
    assert {"exif", "xmp", "icc_profile"} & copy.info.keys() == set()


def test_a_browser_that_has_the_copy_gets_no_content(browsers, attach):
    path = attach(photo()) + "/thumbnail"
    tag = browsers["staff"].open(path).headers["ETag"]

    again = browsers["staff"].http.get(browsers["staff"].base_url + path, headers={"If-None-Match": tag})

    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "content",
    [
        photo(size=(2000, 1500))[:9000],
        photo("PNG")[:200],
        b"",
        b"GIF89a=1;/*" + bytes(40) + b"*/=alert(1)",
        b"\xff\xd8\xff\xfe\x00\x20<html><script>alert(1)</script>",
        SVG,
        HEIC,
    ],
    ids=["truncated-jpeg", "truncated-png", "empty", "gif-and-script", "jpeg-and-html", "svg", "heic"],
)
def test_a_file_that_is_no_photo_is_kept_and_shown_as_an_icon(browsers, site, attach, content):
    path = attach(content, "image/jpeg", "odd.jpg")

    answers = [browsers["staff"].open(f"{path}/{name}") for name in ("thumbnail", "picture")]

    assert [is_icon(answer) for answer in answers] == [True, True]
    assert "not a complete picture" in answers[1].text
    assert [answer.headers["Content-Security-Policy"] for answer in answers] == [POLICY, POLICY]
    ticket_id = path.split("/")[3]
    (file,) = site.client().get(f"/v1/tickets/{ticket_id}/attachments").json()["data"]
    download = browsers["staff"].open(file["url"])
    assert download.content == content
    assert download.headers["Content-Disposition"].startswith("attachment")
    assert download.headers["X-Content-Type-Options"] == "nosniff"
    assert download.headers["Content-Security-Policy"] == POLICY


def test_a_copy_of_a_photo_with_html_in_it_has_only_its_pixels(browsers, attach):
    path = attach(photo(comment=b"<script>alert(1)</script>") + b"<html><script>alert(2)</script>")

    answer = browsers["staff"].open(f"{path}/picture")

    assert copy_of(answer).size == (640, 480)
    assert b"script" not in answer.content


@pytest.mark.parametrize(("content_type", "name"), [("image/heic", "a.heic"), ("image/svg+xml", "a.svg")])
def test_files_of_other_types_are_in_the_list_of_files(browsers, attach, content_type, name):
    path = attach(SVG, content_type, name)

    page = browsers["staff"].open(path.partition("/attachments")[0]).text

    assert name in page
    assert f"{path}/thumbnail" not in page
    assert browsers["staff"].open(path).status_code == 404  # the page for a photo


def test_a_photo_of_60_megapixels_is_shown_unless_all_of_its_pixels_would_be_in_memory(browsers, attach):
    size = (9000, 6700)
    shown = browsers["staff"].open(attach(photo(size=size, quality=30)) + "/thumbnail")
    refused = browsers["staff"].open(attach(photo("PNG", size), "image/png") + "/picture")

    assert copy_of(shown).size == (320, 238)
    assert is_icon(refused)
    words = " ".join(re.sub("<[^>]*>", " ", refused.text).split())
    assert "has 9,000 × 6,700 pixels. Pages show at most 25 million pixels" in words


@pytest.mark.parametrize("name", ["", "/thumbnail", "/picture"])
def test_photos_of_tickets_out_of_reach_are_not_found(browsers, site, attach, name):
    path = attach(photo())
    ticket_id = path.split("/")[3]
    other = path.replace(ticket_id, site.ticket("manager")["id"])  # a ticket that the guest may not see

    assert browsers["guest"].open(other + name).status_code == 404
    assert browsers["staff"].open(other + name).status_code == 404  # not a file of this ticket
    site.client("admin").delete(f"/v1/tickets/{ticket_id}")
    assert browsers["staff"].open(path + name).status_code == 404


def test_the_page_of_a_photo_leads_to_the_photos_before_and_after_it(browsers, site):
    ticket_id = site.ticket("guest")["id"]
    client, address = site.client("guest"), f"/v1/tickets/{ticket_id}/attachments"
    for name in ("first.jpg", "second.jpg", "third.jpg"):
        client.post(address, files={"file": (name, photo(), "image/jpeg")})
    ids = [file["id"] for file in client.get(address).json()["data"]]

    page = browsers["guest"].open(f"/admin/tickets/{ticket_id}/attachments/{ids[1]}").text

    assert f'rel="prev" href="/admin/tickets/{ticket_id}/attachments/{ids[0]}"' in page
    assert f'rel="next" href="/admin/tickets/{ticket_id}/attachments/{ids[2]}"' in page
    assert "Photo 2 of 3" in page
    assert f'href="/admin/my/{ticket_id}"' in page


def test_a_photo_in_a_bucket_has_a_thumbnail(postgres, template, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="files")
        options = {"ATTACHMENTS_S3_BUCKET": "files", "ATTACHMENTS_S3_ENDPOINT": endpoint}
        with cloned_database(postgres, template) as dsn, Site.running(dsn, workers=1, **options) as site:
            give_passwords(site)
            path = f"tickets/{site.ticket('guest')['id']}/attachments"
            files = {"file": ("leak.jpg", photo(), "image/jpeg")}
            file = site.client().post(f"/v1/{path}", files=files).json()["data"]
            thumbnail = browser_of(site, "staff").open(f"/admin/{path}/{file['id']}/thumbnail")
            assert copy_of(thumbnail).size == (320, 240)
    finally:
        server.stop()
