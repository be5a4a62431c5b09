"""Forms and pages: which forms are accepted, and what a page may do in the browser."""

import gzip
import re

import pytest

from api.http.error_size import MAX_BODY_BYTES
from pages.common import sessions, static_files
from tests.support.browser import PASSWORD, forms_of
from tests.support.pages import FORM, Page
from tests.support.postgres import cloned_database


@pytest.fixture
def database(postgres, database_with_people):
    """A database in which Max and Ada can sign in."""
    with cloned_database(postgres, database_with_people) as dsn:
        yield dsn


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "é"])
def test_a_form_without_its_token_is_refused(page, token):
    page.sign_in()

    answer = page.send("/admin/desk", {"csrf_token": token, "text": "x"})

    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")


def test_the_token_of_another_session_is_refused(page, desk):
    other = Page(desk)
    other.sign_in("ada")
    page.sign_in()

    assert page.send("/admin/desk", {"csrf_token": other.token()}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": None, "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": None, "Origin": "null"},
        {"Sec-Fetch-Site": None, "Origin": "http://127.0.0.1:8000.evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
    ],
)
@pytest.mark.parametrize("path", ["/admin/desk", "/admin/sign-in", "/admin/sign-out"])
def test_a_form_from_another_site_is_refused_even_with_the_token(page, headers, path):
    fields = forms_of(page.open("/admin/sign-in").text)[0].fields
    if path != "/admin/sign-in":
        page.sign_in()
        fields = {"csrf_token": page.token()}

    answer = page.send(path, {**fields, "account": "max", "password": PASSWORD}, **headers)

    assert answer.status_code == 403
    assert "ticketing" not in answer.cookies


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://falconframework.org", None])
def test_a_form_without_sec_fetch_site_is_accepted_with_the_origin_of_this_site_or_none(page, origin):
    page.sign_in()

    answer = page.send(
        "/admin/desk", {"csrf_token": page.token()}, **{"Sec-Fetch-Site": None, "Origin": origin}
    )

    assert answer.status_code == 200


def test_signing_in_without_the_cookie_of_the_form_is_refused(page):
    fields = forms_of(page.open("/admin/sign-in").text)[0].fields
    page.cookies.clear()

    answer = page.send("/admin/sign-in", {**fields, "account": "max", "password": PASSWORD})

    assert answer.status_code == 403
    assert "cookie" in answer.text


@pytest.mark.parametrize(
    "next_path",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/ok\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "admin",
        "",
        "/" + "x" * 7_000,
        "/a b",
        "/\u00e9",
    ],
)
def test_sign_in_redirects_only_to_paths_of_this_site(page, next_path):
    fields = forms_of(page.open("/admin/sign-in").text)[0].fields

    fields |= {"account": "max", "password": PASSWORD, "next": next_path}
    answer = page.send("/admin/sign-in", fields)

    assert (answer.status_code, answer.headers["location"]) == (303, "/admin")


def test_the_sign_in_page_redirects_a_person_who_is_signed_in(page):
    page.sign_in()

    answer = page.open("/admin/sign-in?next=%2Fadmin%2Fdesk")

    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/desk")


def test_a_refused_sign_in_shows_the_form_again_and_after_many_a_time_to_wait(page):
    assert 'role="alert"' in page.sign_in("max", "wrong").text
    answers = [page.sign_in("max<script>", f"wrong {n}") for n in range(8)]

    assert [answer.status_code for answer in answers][:5] == [403] * 5
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "max&lt;script&gt;" in answers[0].text
    assert all("wrong " not in answer.text for answer in answers)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{}", "application/json", 415),
        ("a=b", None, 415),
        ("a=" + "x" * 1_050_000, FORM, 413),
        ("a=%ff", FORM, 400),
        ("a=%00", FORM, 400),
        ("&".join(["a=b"] * 600), FORM, 400),
        (b"a=\xff", FORM, 400),
        ("", FORM, 403),
    ],
)
def test_an_invalid_form_is_refused_with_a_page(page, body, content_type, status):
    page.sign_in()
    headers = page.headers({"Content-Type": content_type, "Sec-Fetch-Site": "same-origin"})

    answer = page.client.simulate_post("/admin/desk", body=body, headers=headers)

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")


def test_a_refusal_is_a_page_with_escaped_text(page):
    page.sign_in()

    answer = page.send("/admin/desk", {"csrf_token": page.token(), "text": "refuse"})

    assert answer.status_code == 403
    assert "&lt;b&gt;No.&lt;/b&gt;" in answer.text
    assert "Max &lt;script&gt;" in answer.text
    assert "<script>" not in answer.text


def test_unknown_paths_under_admin_are_answered_with_a_page(page):
    answer = page.open("/admin/nothing")

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert page.open("/nothing").headers["content-type"] == "application/json"
    assert page.client.simulate_put("/admin/desk").status_code == 405


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/admin/", "/admin"),
        ("/admin/desk/?a=b%20c", "/admin/desk?a=b%20c"),
        ("/admin/nothing/", "/admin/nothing"),
    ],
)
def test_a_trailing_slash_redirects_to_the_page(page, path, location):
    answer = page.open(path)

    assert (answer.status_code, answer.headers["location"]) == (303, location)


@pytest.mark.parametrize(
    "path", ["/admin//", "//admin/", "/admin//evil.example/", "/admin/%5cevil/", "/desk/"]
)
def test_other_spellings_of_a_path_are_404(page, path):
    assert page.open(path).status_code == 404


@pytest.mark.parametrize("path", ["/admin/sign-in", "/admin/nothing"])
def test_a_page_may_only_load_its_own_styles_scripts_and_images_and_send_forms_to_this_site(page, path):
    answer = page.open(path)

    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "script-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' blob:",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "form-action": "'self'",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "style=" not in answer.text
    assert re.findall("<script[^>]*>.*?</script>", answer.text) == [
        '<script src="/web/site.js" defer></script>'
    ]


def test_the_script_is_served_with_the_files_in_order(desk):
    answer = desk.simulate_get(static_files.SCRIPT_PATH)

    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "content-encoding" not in answer.headers
    assert answer.text.startswith("var htmx=")


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip, deflate, br", True), ("br, GZIP;q=0.5", True), ("gzip;q=0, br", False), ("identity", False)],
)
def test_the_script_is_compressed_for_browsers_that_accept_it(desk, accepted, is_compressed):
    plain = desk.simulate_get(static_files.SCRIPT_PATH)
    answer = desk.simulate_get(static_files.SCRIPT_PATH, headers={"Accept-Encoding": accepted})

    assert (answer.headers.get("content-encoding") == "gzip") == is_compressed
    assert (gzip.decompress(answer.content) if is_compressed else answer.content) == plain.content
    assert (answer.headers["etag"] != plain.headers["etag"]) == is_compressed
    assert answer.headers["vary"] == "Accept-Encoding"


def test_the_style_sheet_is_served(desk):
    answer = desk.simulate_get(static_files.STYLE_PATH)

    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["etag"]
    assert "--paper" in answer.text


def test_the_icon_is_served(desk):
    answer = desk.simulate_get(static_files.ICON_PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.text.startswith("<svg")


def test_the_forms_of_a_person_are_limited_by_the_hour(page, monkeypatch):
    monkeypatch.setattr(sessions, "FORMS_AN_HOUR", 3)
    page.sign_in()
    token = page.token()

    statuses = [page.send("/admin/desk", {"csrf_token": token}).status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]
    refused = page.send("/admin/desk", {"csrf_token": token})
    assert "You may send 3 forms an hour." in refused.text
    assert int(refused.headers["retry-after"]) > 3_000


def test_a_refused_sign_in_repeats_only_the_beginning_of_a_long_account(page):
    answer = page.sign_in('"' * 20_000)

    assert answer.status_code == 403
    assert len(answer.content) < MAX_BODY_BYTES
    assert forms_of(answer.text)[0].fields["account"].startswith('"""')
