"""People: unique addresses, deactivation, `me`, and searching for people."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.acceptance.people import link_of, send, signed_in, use
from tests.acceptance.site import PEOPLE
from tests.support.browser import Browser, give_password
from tests.support.oauth import ask, make_app, refresh, tokens_for


def listed(client, path, **query):
    answer = client.get(path, params={"per_page": 100, **query})
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["data"]]


def refusal(answer):
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["details"]


def test_a_taken_address_is_a_conflict_that_names_the_field(site):
    taken, other = site.person(email="Taken@Example.com"), site.person()
    details = {"email": ["Another person has this e-mail address."]}
    body = {"name": "New", "email": "taken@example.COM", "role": "guest"}

    registered = site.client().post("/v1/users", json=body)
    changed = site.client().patch(f"/v1/users/{other['id']}", json={"email": "TAKEN@example.com"})

    assert refusal(registered) == refusal(changed) == (409, "conflict", details)
    own = site.client().patch(f"/v1/users/{taken['id']}", json={"email": "taken@example.com"})
    assert own.status_code == 200
    give_password(site.store, PEOPLE["admin"][0])
    form = {"name": "New", "email": "taken@example.com", "role": "guest", "property_ids": "abc123"}
    page = send(signed_in(site, PEOPLE["admin"][0]), "/admin/users/new", form)
    assert page.status_code == 409
    assert 'id="email-error">Another person has this e-mail address.' in page.text


def test_of_simultaneous_requests_for_one_address_one_succeeds(site):
    people = [site.person()["id"] for _ in range(4)]

    def claim(number):
        client, email = site.client(), f"{'Race' if number % 2 else 'race'}@example.com"
        if number < 4:
            return client.patch(f"/v1/users/{people[number]}", json={"email": email}).status_code
        return client.post("/v1/users", json={"name": "N", "email": email, "role": "guest"}).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(claim, range(8)))

    assert statuses[0] in (200, 201)
    assert statuses[1:] == [409] * 7


def test_a_deactivated_person_is_refused_everywhere_and_keeps_their_name(site):
    person = site.person(name="Lee Leaver", role="staff")
    user_id, path = person["id"], f"/v1/users/{person['id']}"
    give_password(site.store, user_id)
    browser, key = signed_in(site, user_id), site.client(key=site.key(role="staff", user_id=user_id))
    app = make_app(site.store)
    tokens = tokens_for(browser, app)
    token = site.client(key=tokens["access_token"])
    ticket_path = f"/v1/tickets/{site.ticket()['id']}"
    assert site.client().patch(ticket_path, json={"assigned_to": user_id}).status_code == 200
    link = link_of(site.client().post(f"{path}/one-time-link"))
    assert (key.get(path).status_code, token.get("/v1/tickets").status_code) == (200, 200)

    done = site.client("manager").patch(path, json={"active": False})

    assert (done.status_code, done.json()["data"]["active"]) == (200, False)
    assert done.json()["data"]["name"] == "Lee Leaver"
    for _ in range(6):  # in both workers
        assert (key.get(path).status_code, token.get("/v1/tickets").status_code) == (401, 401)
    assert browser.open("/admin").status_code == 303, "the session has ended"
    assert Browser(site.base_url).sign_in(user_id).status_code == 403
    assert Browser(site.base_url).sign_in(person["email"]).status_code == 403
    assert refresh(site.base_url, app, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    described = ask(site.base_url, "/oauth/introspect", app, {"token": tokens["access_token"]})
    assert described.json() == {"active": False}
    assert use(site, link).status_code == 404
    assert site.client().post(f"{path}/one-time-link").status_code == 409
    assert site.client().get(ticket_path).json()["data"]["assigned_to"]["name"] == "Lee Leaver"
    other = f"/v1/tickets/{site.ticket()['id']}"
    assert refusal(site.client().patch(other, json={"assigned_to": user_id}))[::2] == (
        422,
        {"assigned_to": ["No user with that id may work on this property."]},
    )
    assert f'value="{user_id}"' not in signed_in_staff(site).open(f"/admin{other[3:]}").text

    again = site.client("manager").patch(path, json={"active": True})

    assert (again.status_code, again.json()["data"]["active"]) == (200, True)
    assert (key.get(path).status_code, token.get("/v1/tickets").status_code) == (200, 200)
    assert browser.open("/admin").status_code == 303, "sessions do not come back"
    signed_in(site, user_id)
    assert use(site, link).status_code == 404
    assert site.client().patch(other, json={"assigned_to": user_id}).status_code == 200


def signed_in_staff(site):
    give_password(site.store, PEOPLE["staff"][0])
    return signed_in(site, PEOPLE["staff"][0])


def test_nobody_deactivates_themselves_and_the_last_active_admin_stays(site):
    boss = site.person(role="admin", property_ids=[])["id"]
    as_boss = site.client(key=site.key(role="admin", user_id=boss))
    service = site.client(key=site.key(role="admin"))
    admins = [user_id for user_id in listed(service, "/v1/users", role="admin") if user_id != boss]

    assert as_boss.patch(f"/v1/users/{boss}", json={"active": False}).status_code == 403
    for user_id in admins:
        assert as_boss.patch(f"/v1/users/{user_id}", json={"active": False}).status_code == 200
    last = service.patch(f"/v1/users/{boss}", json={"active": False, "role": "staff"})
    service.patch(f"/v1/users/{admins[0]}", json={"active": True})
    with ThreadPoolExecutor(2) as threads:  # two admins deactivate each other
        both = threads.map(
            lambda user_id: service.patch(f"/v1/users/{user_id}", json={"active": False}).status_code,
            (boss, admins[0]),
        )
        statuses = sorted(both)
    for user_id in (boss, *admins):
        assert service.patch(f"/v1/users/{user_id}", json={"active": True}).status_code == 200

    message = "This is the last active admin. Register or reactivate another admin first."
    assert refusal(last) == (409, "conflict", {"active": [message]})
    assert statuses == [200, 409]


def test_tickets_of_people_who_cannot_work_on_them_are_found(site):
    admin = site.client()
    people = {name: site.person(name=name)["id"] for name in ("leaves", "moves", "is demoted", "stays")}
    tickets = {}
    for name, user_id in people.items():
        for status in ("open", "closed"):
            tickets[name, status] = site.ticket()["id"]
            change = {"assigned_to": user_id, "status": status}
            assert admin.patch(f"/v1/tickets/{tickets[name, status]}", json=change).status_code == 200
    site.ticket()  # of nobody
    before = datetime.now(UTC).isoformat()

    admin.patch(f"/v1/users/{people['leaves']}", json={"active": False})
    admin.patch(f"/v1/users/{people['moves']}", json={"property_ids": ["def456"]})
    admin.patch(f"/v1/users/{people['is demoted']}", json={"role": "guest"})

    gone = [name for name in people if name != "stays"]
    found = {
        status: set(listed(admin, "/v1/tickets", assigned_to="inactive", **query)) & {*tickets.values()}
        for status, query in (("open", {}), ("closed", {"status": "closed"}))
    }
    assert found == {status: {tickets[name, status] for name in gone} for status in ("open", "closed")}
    then = listed(admin, "/v1/tickets", assigned_to="inactive", as_of=before)
    assert set(then) & {*tickets.values()} == found["open"], "people as they are now"
    assert tickets["leaves", "open"] in signed_in_staff(site).open("/admin/tickets?assigned_to=inactive").text


def test_me_is_the_person_of_the_key(site):
    admin, guest = site.client(), site.client("guest")
    ticket = site.ticket()["id"]
    admin.patch(f"/v1/tickets/{ticket}", json={"assigned_to": "user001"})

    assert ticket in listed(admin, "/v1/tickets", assigned_to="me")
    assert ticket not in listed(site.client("staff"), "/v1/tickets", assigned_to="me")
    assert ticket in listed(admin, "/v1/tickets", requester_id="me")
    assert ticket not in listed(guest, "/v1/tickets", requester_id="me")
    service = site.client(key=site.key(role="admin"))
    message = "This key belongs to no user, so `me` names nobody."
    nobody = service.get("/v1/tickets?assigned_to=me")
    assert refusal(nobody) == (422, "validation_error", {"assigned_to": [message]})
    assert refusal(service.get("/v1/tickets?requester_id=me"))[2] == {"requester_id": [message]}
    assert refusal(admin.get("/v1/tickets?requester_id=none"))[:2] == (422, "validation_error")
    me = guest.get("/v1/users/me")
    assert (me.status_code, me.json()) == (200, guest.get("/v1/users/user789").json())
    assert me.headers["ETag"] == guest.get("/v1/users/user789").headers["ETag"]


def test_a_person_reads_themselves_and_a_key_of_nobody_gets_404(site):
    for role in ("admin", "manager", "staff", "guest"):
        data = site.client(role).get("/v1/users/me").json()["data"]
        assert (data["id"], data["phone"], data["active"]) == (PEOPLE[role][0], "555-123-4567", True)
    service = site.client(key=site.key(role="admin"))
    unscoped = site.client(key=site.key(role="staff", user_id="user101", scopes=("tickets:read",)))

    assert refusal(service.get("/v1/users/me"))[:2] == (404, "not_found")
    assert refusal(unscoped.get("/v1/users/me"))[:2] == (403, "insufficient_scope")
    assert service.get("/v1/users/me?x=1").status_code in (404, 422)


def test_people_are_found_by_the_beginnings_of_words_by_managers_and_above(site):
    zoe = site.person(name="Zoë Ångström-Núñez", email="z.a@nordic.example")["id"]
    manager = site.client("manager")

    for query in ("zoe", "ZOË ång", "nunez", "Zoe\u0308", "z.a@nordic.example"):
        assert listed(manager, "/v1/users", q=query) == [zoe], query
    assert listed(manager, "/v1/users", q="oe") == []
    nothing = refusal(manager.get("/v1/users", params={"q": "%"}))
    assert nothing[::2] == (422, {"q": ["The q parameter must contain a letter or a digit."]})
    assert refusal(site.client("staff").get("/v1/users?q=zoe"))[:2] == (403, "forbidden")
    site.client().patch(f"/v1/users/{zoe}", json={"active": False})
    assert listed(manager, "/v1/users", q="zoe", active="false") == [zoe]
    assert listed(manager, "/v1/users", q="zoe", active="true") == []


def test_a_filter_does_not_reveal_who_belongs_to_properties_beyond_reach(site):
    both = site.person(role="staff", property_ids=["abc123", "def456"])["id"]

    def find_user(role, property_id):
        answer = site.client(role).get("/v1/users", params={"property_id": property_id, "per_page": 100})
        return both in {user["id"] for user in answer.json()["data"]}, answer.json()["meta"]["pagination"][
            "total"
        ]

    assert find_user("manager", "abc123")[0]
    assert find_user("foreign", "def456")[0]
    assert find_user("manager", "def456") == find_user("manager", "nowhere") == (False, 0)
    assert find_user("foreign", "abc123") == (False, 0)
