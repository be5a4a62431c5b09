"""What is sent wrongly to the OAuth endpoints: a clear error in the protocol's form, never a 500."""

import pytest

from tests.support.browser import Browser, give_password
from tests.support.oauth import authorization_path, make_app

FORM = "application/x-www-form-urlencoded"
ENDPOINTS = ("/oauth/token", "/oauth/revoke", "/oauth/introspect")


@pytest.fixture(scope="module")
def app(site):
    return make_app(site.store)


@pytest.fixture(scope="module")
def browser(site):
    give_password(site.store, "user101")
    browser = Browser(site.base_url)
    browser.sign_in("user101")
    return browser


def post(site, path, body, content_type=FORM, **headers):
    headers = {"Content-Type": content_type, **headers} if content_type else headers
    return site.client(None).post(path, data=body, headers=headers)


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{}", "application/json", 415),
        ("", "", 415),
        ("", FORM, 400),
        ("grant_type=&token=", FORM, 400),
        ("grant_type=client_credentials&grant_type=client_credentials&token=a&token=b", FORM, 400),
        ("grant_type=%00&token=%00", FORM, 400),
        ("grant_type=%ff&token=%ff", FORM, 400),
        (b"grant_type=\xff&token=\xff", FORM, 400),
        ("x=" + "y" * 70_000, FORM, 413),
        ("&".join(f"a{n}=1" for n in range(600)), FORM, 400),
        ("grant_type=client_credentials&token=x&client=admin&user=user001&scopes=a", FORM, 401),
        ("grant_type=client_credentials&token=x&client_id=%F0%9F%92%A9&client_secret=x", FORM, 401),
        ("grant_type=client_credentials&token=x&client_id=" + "x" * 5_000, FORM, 401),
    ],
)
def test_broken_requests_get_an_error_of_the_protocol(site, path, body, content_type, status):
    answer = post(site, path, body, content_type)

    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    assert told["error"] in ("invalid_request", "invalid_client")
    assert told.keys() <= {"error", "error_description"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic !!!!",
        "Basic " + "x" * 3_000,
        "Basic bm9jb2xvbg==",
        "Basic /w==",
        "Bearer mto_" + "0" * 49,
        "Digest x",
    ],
)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_broken_authorization_is_no_client(site, path, authorization):
    answer = post(site, path, "grant_type=client_credentials&token=x", Authorization=authorization)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_client_proves_itself_in_one_way_only(site, app):
    body = f"grant_type=client_credentials&client_secret={app.secret}"

    answer = site.client(None).post("/oauth/token", data=body, auth=app.basic, headers={"Content-Type": FORM})

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_two_names_at_once_are_no_client(site, app):
    answer = site.client(None).post(
        "/oauth/token",
        data="grant_type=client_credentials&client_id=client_other",
        auth=app.basic,
        headers={"Content-Type": FORM},
    )

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"code": "x"},
        {"code": "mtc_" + "0" * 49},
        {"code": "x" * 10_000},
        {"code": "é"},
        {"code": "mto_" + "0" * 49, "redirect_uri": "https://evil.example"},
    ],
)
def test_codes_that_are_none_are_refused(site, app, fields):
    answer = site.client(None).post(
        "/oauth/token", data={"grant_type": "authorization_code", **fields}, auth=app.basic
    )

    assert answer.status_code == 400
    assert answer.json()["error"] == ("invalid_grant" if fields else "invalid_request")


@pytest.mark.parametrize("token", [None, "x", "mtr_" + "0" * 49, "mto_" + "0" * 49, "x" * 10_000])
def test_refresh_tokens_that_are_none_are_refused(site, app, token):
    fields = {"grant_type": "refresh_token"} | ({"refresh_token": token} if token else {})

    answer = site.client(None).post("/oauth/token", data=fields, auth=app.basic)

    assert answer.status_code == 400
    assert answer.json()["error"] == ("invalid_grant" if token else "invalid_request")


@pytest.mark.parametrize(
    "scope", ["root", "tickets:read root", "tickets:read,tickets:write", "é", '"', "x" * 9_000]
)
def test_scopes_that_are_none_are_refused(site, app, scope):
    answer = site.client(None).post(
        "/oauth/token", data={"grant_type": "client_credentials", "scope": scope}, auth=app.basic
    )

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_other_methods_are_refused(site, method, path):
    answer = site.client(None).request(method, path)

    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "client_id=",
        "client_id=nobody",
        "client_id=%00",
        "client_id=%ff",
        "client_id=" + "x" * 3_000,
        "x" * 5_000,
        "&".join(f"a{n}=1" for n in range(100)),
        "client=x&user=user001&scopes=a",
        "client_id={id}&client_id={id}",
        "client_id={id}&redirect_uri=https://evil.example/%0d%0aSet-Cookie:a=b",
        "client_id={id}&state=a&state=b",
        "client_id={id}&scope=a&scope=b&response_type=code",
    ],
)
def test_requests_nobody_is_known_to_make_are_shown_and_lead_nowhere(site, browser, app, query):
    for who in (browser, Browser(site.base_url)):
        answer = who.open("/oauth/authorize?" + query.replace("{id}", app.client_id))

        assert answer.status_code == 400, answer.text
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "Location" not in answer.headers


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x>', "{{ 7 * 7 }}"])
def test_what_an_application_sends_is_shown_as_text(site, browser, text):
    named = make_app(site.store, name=text)

    page = browser.open(authorization_path(named, state=text)).text
    unknown = browser.open(authorization_path(named, client_id=text)).text

    assert text not in page + unknown or text == "{{ 7 * 7 }}"
    assert "<script" not in page + unknown
    assert "<img" not in page + unknown
    assert ">49<" not in page + unknown


def test_a_method_the_page_does_not_take(site):
    assert site.client(None).put("/oauth/authorize").status_code == 405
    assert site.client(None).get("/oauth/nothing").json()["error"] == "invalid_request"
    assert site.client(None).get("/.well-known/nothing").status_code == 404
    assert site.client(None).get("/v1/.well-known/x").status_code == 404
