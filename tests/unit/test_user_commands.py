"""Commands on users, properties and API keys: the roles and the reach that each needs."""

import pytest
from msgspec.structs import replace

from commands.api_keys import IssueKey, has_key_form, issue_key, make_secret, revoke_key
from commands.oauth_clients import RegisterClient, register_client
from commands.oauth_grants import GiveGrant, give_grant
from commands.properties import AddressBody, NewProperty, PropertyChanges
from commands.users import NewUser, NotificationsBody, PreferencesBody, UserChanges
from domain.aggregate import own_fields
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.property import Address, Property
from domain.user import Notifications, Preferences, User
from infrastructure.keys.tokens import digest
from infrastructure.storage.event_store import EventStore
from tests.support.arrange import add_unit, change_property, change_user, register_property, register_user
from tests.unit.builders import caller, context

MANAGER = caller("manager", user_id="u-manager", reach=["p1"])
STAFF = caller("staff", user_id="u-staff", reach=["p1"])


@pytest.fixture
def store():
    store = EventStore()
    for property_id in ("p1", "p2"):
        register_property(store, property_id, context(), name="Seaside")
    return store


def register(store, by, user_id="u1", role="staff", property_ids=("p1",)):
    return register_user(store, user_id, by, role=role, property_ids=property_ids)


def test_ids_are_unique_across_users_and_properties(store):
    with pytest.raises(Conflict, match="p1 is already in use"):
        register(store, context(), user_id="p1")


def test_a_manager_registers_people_of_their_own_properties_up_to_their_own_role(store):
    assert register(store, context(MANAGER)).role == "staff"
    with pytest.raises(Forbidden):
        register(store, context(MANAGER), "u2", role="admin")
    with pytest.raises(Invalid):
        register(store, context(MANAGER), "u3", property_ids=("p2",))
    with pytest.raises(Invalid):
        register(store, context(MANAGER), "u4", property_ids=())


def test_a_retried_change_returns_its_first_result_and_is_made_once(store):
    """Although its If-Match is stale by then, and others have changed the same field since."""
    first = frozenset({1})
    change_property(store, "p1", context(command_id="c-1"), first, name="June")
    change_property(store, "p1", context(), name="Kim")

    again = change_property(store, "p1", context(command_id="c-1", is_retry=True), first, name="June")

    assert (again.name, again.version) == ("June", 2)
    assert store.load(Property, "p1").name == "Kim"


def test_a_retried_registration_succeeds_despite_later_changes(store):
    registered = register(store, context(MANAGER, command_id="c-1"))
    moved = caller("manager", user_id="u-manager", reach=["p2"])

    again = register(store, context(moved, command_id="c-1", is_retry=True))

    assert (again.id, again.version) == (registered.id, 1)


def test_staff_may_not_register_users(store):
    with pytest.raises(Forbidden):
        register(store, context(STAFF))


def test_every_unknown_property_is_named(store):
    with pytest.raises(Invalid) as refused:
        register(store, context(), property_ids=("p1", "x", "y"))

    assert len(refused.value.details["property_ids"]) == 2


def test_a_refusal_says_whether_role_or_reach_is_exceeded(store):
    register(store, context(), "boss", role="admin")
    register(store, context(), "both", property_ids=("p1", "p2"))

    with pytest.raises(
        Forbidden, match="The role manager may not change this person: that requires the role admin"
    ):
        change_user(store, "boss", context(MANAGER), name="X")
    with pytest.raises(Forbidden, match="access to properties beyond your reach"):
        change_user(store, "both", context(MANAGER), name="X")


def test_a_caller_cannot_give_a_scope_that_it_lacks(store):
    register(store, context(), role="admin")
    narrow = replace(caller("admin", user_id="u1"), scopes=frozenset({"tickets:read"}))
    app = RegisterClient(
        name="Board",
        client_kind="confidential",
        scopes=("tickets:write",),
        role="staff",
        redirect_uris=("https://app.example.com/callback",),
    )
    client_id = register_client(store, app, context()).client.id
    consent = GiveGrant(
        client_id=client_id,
        scopes=("tickets:write",),
        redirect_uri=app.redirect_uris[0],
        redirect_uri_was_given=True,
        code_challenge=None,
    )

    for give in (
        lambda: issue_key(store, IssueKey(name="k", role="staff", scopes=app.scopes), context(narrow)),
        lambda: register_client(store, app, context(narrow)),
        lambda: give_grant(store, consent, context(narrow)),
    ):
        with pytest.raises(Forbidden, match="scopes that you lack: tickets:write"):
            give()


def test_a_caller_with_limited_reach_cannot_remove_the_last_property_of_a_user(store):
    register(store, context())

    with pytest.raises(Invalid) as refused:
        change_user(store, "u1", context(MANAGER), property_ids=())
    assert refused.value.details == {"property_ids": ["Name at least one of your properties."]}


def test_a_user_beyond_reach_is_not_found(store):
    register(store, context(), property_ids=("p2",))

    with pytest.raises(NotFound):
        change_user(store, "u1", context(MANAGER), name="X")


def test_changing_to_the_same_values_records_nothing(store):
    register(store, context())
    same = {"name": "Jane", "phone": None, "role": "staff", "property_ids": ("p1", "p1")}

    assert change_user(store, "u1", context(), **same).position == 0


def test_preferences_are_replaced_as_a_whole(store):
    register(store, context())
    new = Preferences(notifications=Notifications(email=False, sms=True))

    assert change_user(store, "u1", context(), preferences=new).preferences == new


def test_properties_are_registered_by_admins_and_changed_by_their_managers(store):
    with pytest.raises(Forbidden):
        register_property(store, "p3", context(MANAGER), name="X")
    assert change_property(store, "p1", context(MANAGER), name="New").name == "New"
    with pytest.raises(NotFound):
        change_property(store, "p2", context(MANAGER), name="New")
    with pytest.raises(Forbidden):
        add_unit(store, "p1", "a", context(STAFF), name="A")


def test_a_unit_id_is_unique_in_its_property(store):
    add_unit(store, "p1", "a", context(MANAGER), name="A")

    with pytest.raises(Conflict):
        add_unit(store, "p1", "a", context(MANAGER), name="B")


def test_a_key_has_a_checksum_and_only_its_digest_is_stored(store):
    issued = issue_key(store, IssueKey(name="kiosk", role="staff", property_ids=("p1",)), context())

    assert has_key_form(issued.key)
    assert issued.key.encode() not in b"".join(
        e.state for e in store.recorder.select_events(issued.api_key.id)
    )
    assert len(digest(issued.key)) == 32
    assert revoke_key(store, issued.api_key.id, context()).is_revoked


@pytest.mark.parametrize(
    "damage", [lambda k: k[:-1], lambda k: k + "0", lambda k: k[4:], lambda k: k.swapcase()]
)
def test_a_damaged_key_fails_its_checksum(damage):
    assert not has_key_form(damage(make_secret()))


def test_a_key_has_at_most_the_role_of_its_user_and_every_problem_is_named(store):
    register(store, context())

    with pytest.raises(Invalid) as refused:
        issue_key(
            store,
            IssueKey(
                name=" ", role="admin", user_id="u1", scopes=("fly",), property_ids=("x",), rate_limit=0
            ),
            context(),
        )

    assert set(refused.value.details) == {"name", "role", "scopes", "property_ids", "rate_limit"}


def test_only_an_admin_issues_keys(store):
    with pytest.raises(Forbidden):
        issue_key(store, IssueKey(name="k", role="guest"), context(MANAGER))


@pytest.mark.parametrize(
    ("aggregate", "new", "changes"), [(User, NewUser, UserChanges), (Property, NewProperty, PropertyChanges)]
)
def test_an_event_records_every_field_that_a_client_may_give_or_change(aggregate, new, changes):
    changed = {field for event_type in aggregate.field_changes for field in own_fields(event_type)}

    assert set(new.__struct_fields__) == set(own_fields(aggregate.first_event))
    assert set(changes.__struct_fields__) - {"active"} == changed  # it has two events without fields


@pytest.mark.parametrize(
    ("body", "value"),
    [(PreferencesBody, Preferences), (NotificationsBody, Notifications), (AddressBody, Address)],
)
def test_a_value_has_the_fields_of_the_body_that_it_is_made_of(body, value):
    assert set(body.__struct_fields__) == set(value.__struct_fields__)


@pytest.mark.parametrize("word", ["me", "none", "inactive"])
def test_a_word_with_a_meaning_in_filters_and_addresses_cannot_be_an_id(store, word):
    with pytest.raises(Invalid, match=f"The id {word} has a meaning in filters and addresses"):
        register(store, context(), user_id=word)
