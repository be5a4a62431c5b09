"""Files of a ticket: upload and download, stored on disk and in a bucket."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import boto3
import psutil
import pytest
import requests
from moto.server import ThreadedMotoServer

from api.http import file_urls
from tests.acceptance.site import Site
from tests.support.postgres import cloned_database

SIGNING_KEY = "a signing key for tests alone, 32 bytes or more"
LIMIT = 25 * 1024 * 1024
BOUNDARY = "a1b2c3"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def site(postgres, template):
    with cloned_database(postgres, template) as dsn, Site.running(dsn, SIGNING_KEY=SIGNING_KEY) as site:
        yield site


@pytest.fixture
def ticket_id(site):
    return site.ticket("guest")["id"]


@pytest.fixture
def attach(site, ticket_id):
    """Returns a function that posts a file to the ticket."""

    def post(content=b"hello", *, filename="leak.jpg", content_type="image/jpeg", role="guest", **more):
        file = {"file": (filename, content, content_type)}
        return site.client(role).post(f"/v1/tickets/{ticket_id}/attachments", files=file, **more)

    return post


@pytest.fixture
def post_form(site, ticket_id):
    """Returns a function that posts raw bytes to the ticket's attachments."""

    def post(body, headers=MULTIPART):
        return site.client().post(f"/v1/tickets/{ticket_id}/attachments", data=body, headers=headers)

    return post


def part(disposition, content=b"hello", content_type=b"text/plain"):
    return (
        f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n".encode()
        + b"Content-Type: "
        + content_type
        + b"\r\n\r\n"
        + content
        + b"\r\n"
    )


END = f"--{BOUNDARY}--\r\n".encode()
A_FILE = part('form-data; name="file"; filename="a.txt"')


def download(url, **more):
    """Download the file without a key."""
    return requests.get(url, timeout=20, **more)


def with_query(url, **changes):
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()} | changes
    return f"{url.partition('?')[0]}?{urlencode(query)}"


def assert_no_such_file(answer):
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), answer.text


def test_a_file_is_listed_shown_and_downloaded(site, attach, ticket_id):
    content = bytes(range(256)) * 1_000

    answer = attach(content)

    assert answer.status_code == 201, answer.text
    attached = answer.json()["data"]
    assert list(attached) == ["id", "filename", "url", "size", "content_type", "created_at"]
    assert (attached["filename"], attached["size"], attached["content_type"]) == (
        "leak.jpg",
        256_000,
        "image/jpeg",
    )
    assert answer.headers["Location"] == f"{site.base_url}/v1/tickets/{ticket_id}/attachments"
    client = site.client("guest")
    assert client.get(f"/v1/tickets/{ticket_id}/attachments").json()["data"] == [attached]
    assert client.get(f"/v1/tickets/{ticket_id}").json()["data"]["attachments"] == [attached]
    downloaded = download(attached["url"])
    assert (downloaded.status_code, downloaded.content) == (200, content)


def test_a_download_is_never_shown_in_the_browser(attach):
    url = attach(b"<script>alert(1)</script>", filename="x.html", content_type="text/html").json()["data"][
        "url"
    ]

    headers = download(url).headers

    assert headers["Content-Disposition"].startswith("attachment")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Type"] == "text/html"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert int(headers["Content-Length"]) == 25


def test_head_answers_with_the_size_and_no_content(attach):
    url = attach(b"12345").json()["data"]["url"]

    answer = requests.head(url, timeout=20)

    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "5", b"")


def test_an_empty_file_can_be_attached_and_downloaded(attach):
    attached = attach(b"").json()["data"]

    assert attached["size"] == 0
    assert download(attached["url"]).content == b""


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "A" * 43},
        {"signature": "x"},
        {"signature": "é\u0080"},
        {"expires": "99999999999"},
        {"expires": "0"},
        {"expires": "-1"},
        {"expires": "soon"},
    ],
    ids=str,
)
def test_a_forged_address_is_404(attach, change):
    assert_no_such_file(download(with_query(attach().json()["data"]["url"], **change)))


def test_a_signed_address_is_valid_for_its_own_file_only(attach):
    first, second = (attach().json()["data"] for _ in range(2))

    assert_no_such_file(download(first["url"].replace(first["id"], second["id"])))
    assert_no_such_file(download(first["url"].replace(first["id"], str(uuid4()))))


def test_an_expired_address_is_404(site, attach):
    attached = attach().json()["data"]
    now = datetime.now(UTC)

    def signed_address(at):
        return file_urls.sign(site.base_url, attached["id"], SIGNING_KEY.encode(), at)

    assert download(signed_address(now)).status_code == 200
    assert_no_such_file(download(signed_address(now - timedelta(minutes=31))))


@pytest.mark.parametrize("query", ["", "?expires=1", "?signature=x", "?expires=1&signature=x&more=1"])
def test_an_address_with_missing_or_unknown_parameters_is_422(attach, query):
    url = attach().json()["data"]["url"].partition("?")[0]

    assert download(url + query).status_code == 422


def test_the_twenty_first_file_is_refused(attach, site, ticket_id):
    statuses = [attach().status_code for _ in range(21)]

    assert statuses == [201] * 20 + [409]
    assert len(site.client().get(f"/v1/tickets/{ticket_id}/attachments").json()["data"]) == 20


def test_a_file_of_exactly_the_limit_is_accepted_and_one_byte_more_is_413(attach):
    largest = attach(b"x" * LIMIT)
    larger = attach(b"x" * (LIMIT + 1))

    assert (largest.status_code, largest.json()["data"]["size"]) == (201, LIMIT)
    assert (larger.status_code, larger.json()["error"]["code"]) == (413, "payload_too_large")


def test_a_form_far_over_the_limit_is_413_before_it_is_read(site, ticket_id):
    headers = MULTIPART | {"Content-Length": str(10**12)}
    request = requests.Request(
        "POST",
        f"{site.base_url}/v1/tickets/{ticket_id}/attachments",
        headers={**headers, "Authorization": f"Bearer {site.keys['guest']}"},
    ).prepare()
    request.headers["Content-Length"] = str(10**12)
    request.body = A_FILE

    answer = requests.Session().send(request, timeout=20)

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "image/jpeg", None])
def test_a_body_that_is_not_a_form_is_415(post_form, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}

    answer = post_form(b"hello", headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", MULTIPART),
        (b"nothing of a form", MULTIPART),
        (A_FILE, MULTIPART),  # the end is missing
        (A_FILE[:40], MULTIPART),
        (A_FILE + END, {"Content-Type": "multipart/form-data"}),
        (A_FILE + END, {"Content-Type": "multipart/form-data; boundary="}),
        (A_FILE + END, {"Content-Type": "multipart/form-data; boundary=other"}),
        (part('form-data; name="file"; filename="\xff.txt"').replace("ÿ".encode(), b"\xff") + END, MULTIPART),
        (part("form-data; " + "x" * 20_000) + END, MULTIPART),
        (A_FILE * 1_000 + END, MULTIPART),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_malformed_form_is_400(post_form, body, headers):
    answer = post_form(body, headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request"), answer.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (END, "file"),
        (part('form-data; name="other"; filename="a.txt"') + END, "file"),
        (part('form-data; name="other"') + A_FILE + END, "other"),
        (A_FILE + A_FILE + END, "file"),
        (part('form-data; name="file"') + END, "file"),
        (part('form-data; name="file"; filename=""') + END, "file"),
        (part('form-data; name="file"; filename=".."') + END, "file"),
        (part('form-data; name="file"; filename="a/../"') + END, "file"),
        (part('form-data; name="file"; filename="\u200b\u3164.\u3000"') + END, "file"),
    ],
    ids=[
        "no part",
        "other part",
        "one more",
        "twice",
        "no filename",
        "empty filename",
        "dots",
        "folder",
        "invisible",
    ],
)
def test_a_form_with_wrong_parts_is_422_and_names_them(post_form, body, field):
    answer = post_form(body)

    assert answer.status_code == 422, answer.text
    assert field in answer.json()["error"]["details"]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("Dach läuft 漏水 🚿.jpg", "Dach läuft 漏水 🚿.jpg"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\me\\leak.jpg", "leak.jpg"),
        ("tab\there\x7f.txt", "tabhere.txt"),
        ("a" * 300 + ".jpg", "a" * 251 + ".jpg"),
        ("\u202egpj.exe", "gpj.exe"),
        ("Screenshot at 3.04.05\u202fPM.png", "Screenshot at 3.04.05\u202fPM.png"),
        ('say "hi".txt', 'say "hi".txt'),
    ],
)
def test_a_filename_is_stored_without_folders_and_control_characters(attach, sent, stored):
    attached = attach(filename=sent).json()["data"]

    assert attached["filename"] == stored
    assert download(attached["url"]).headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("content_type", ["nonsense", "text/html\x01", "a/b/c", "é/x", "x" * 200 + "/y"])
def test_an_invalid_content_type_is_replaced_by_octet_stream(post_form, content_type):
    disposition = 'form-data; name="file"; filename="a.txt"'
    attached = post_form(part(disposition, content_type=content_type.encode()) + END)

    assert attached.status_code in (201, 400), attached.text
    if attached.status_code == 201:
        assert attached.json()["data"]["content_type"] == "application/octet-stream"


def test_an_upload_that_is_sent_twice_attaches_one_file(attach, site, ticket_id):
    key = {"Idempotency-Key": str(uuid4())}

    first = attach(headers=key)
    again = attach(headers=key)
    other = attach(b"other content", headers=key)

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert len(site.client().get(f"/v1/tickets/{ticket_id}/attachments").json()["data"]) == 1


def test_files_of_a_deleted_ticket_are_404_until_it_is_restored(site, attach, ticket_id):
    url = attach().json()["data"]["url"]
    site.client("manager").delete(f"/v1/tickets/{ticket_id}")

    assert_no_such_file(download(url))
    assert_no_such_file(site.client().get(f"/v1/tickets/{ticket_id}/attachments"))

    site.client().post(f"/v1/tickets/{ticket_id}/restore")
    assert download(url).status_code == 200


def test_files_are_stored_in_the_bucket_when_one_is_set(postgres, template, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        bucket = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(
            Bucket="files"
        )
        options = {"ATTACHMENTS_S3_BUCKET": "files", "ATTACHMENTS_S3_ENDPOINT": endpoint}
        with cloned_database(postgres, template) as dsn, Site.running(dsn, workers=1, **options) as site:
            ticket_id = site.ticket()["id"]
            file = {"file": ("leak.jpg", b"in the bucket", "image/jpeg")}
            attached = site.client().post(f"/v1/tickets/{ticket_id}/attachments", files=file).json()["data"]

            assert [thing.key.endswith(attached["id"]) for thing in bucket.objects.all()] == [True]
            assert download(attached["url"]).content == b"in the bucket"
            bucket.objects.delete()
            assert_no_such_file(download(attached["url"]))
    finally:
        server.stop()


def test_uploads_do_not_stay_in_the_memory_of_a_worker(site):
    tickets = [site.ticket()["id"] for _ in range(20)]

    def upload(ticket_id, content=b"small"):
        file = {"file": ("film.mp4", content, "video/mp4")}
        headers = {"Idempotency-Key": str(uuid4())}
        answer = site.client().post(f"/v1/tickets/{ticket_id}/attachments", files=file, headers=headers)
        return answer.status_code, len(download(answer.json()["data"]["url"]).content)

    with ThreadPoolExecutor(len(tickets)) as clients:
        assert set(clients.map(upload, tickets)) == {(201, 5)}  # so that the threads have worked before
        workers = workers_of(site)
        before = [restart_peak(worker) for worker in workers]
        film = bytes(5 * 1_024 * 1_024)
        assert set(clients.map(lambda each: upload(each, film), tickets)) == {(201, len(film))}

    growth = [peak_rss(worker) - start for worker, start in zip(workers, before, strict=True)]
    assert len(workers) == 2
    assert max(growth) < 30 * 1_024 * 1_024, growth


def workers_of(site):
    """The worker processes of the site's server, as psutil knows them."""
    port = urlsplit(site.base_url).port
    listening = [
        process
        for process in psutil.Process().children(recursive=True)
        if any(conn.laddr.port == port and conn.status == "LISTEN" for conn in process.net_connections("tcp"))
    ]
    return [process for process in listening if process.parent() in listening]


def restart_peak(process):
    """Return the memory that the process uses now, in bytes, and let its peak begin again."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return peak_rss(process)


def peak_rss(process):
    """The most memory that the process has used, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1_024
