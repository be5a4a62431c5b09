"""Personal fields are encrypted in the log and decrypted in memory, until the person is erased."""

from __future__ import annotations

import msgspec
import pytest

from commands.erasure import erase_user
from domain.errors import Conflict
from domain.user import ERASED_EMAIL, ERASED_NAME, Preferences, User, UserNameChanged, UserRegistered
from infrastructure.keys.privacy import PREFIX, decrypt_events
from infrastructure.keys.vault import CannotDecrypt
from infrastructure.storage.event_store import EventStore, VersionConflict, decode, encode
from tests.support.arrange import change_user
from tests.support.log import events_after
from tests.support.vault import VAULT
from tests.unit.builders import caller, context

NAME, EMAIL, PHONE = 'Zoë "Zo" Quarré', "zoe.quarre@example.com", "+41 79 555 01 02"
ADMIN = caller("admin")


def register(store, user_id="u1", *, name=NAME, phone=PHONE, command_id="c1"):
    user = User.register(
        user_id,
        context(command_id=command_id),
        name=name,
        email=EMAIL,
        phone=phone,
        role="staff",
        property_ids=(),
        preferences=Preferences(),
    )
    store.save(user)
    return user


def rename(store, name, user_id="u1"):
    return change_user(store, user_id, context(ADMIN), name=name)


def erase(store, user_id="u1"):
    return erase_user(store, user_id, context(ADMIN))


@pytest.fixture
def other_store(pool):
    """The store of another process."""
    return EventStore(pool, VAULT)


def stored_states(conn):
    return [bytes(state) for (state,) in conn.execute("SELECT state FROM es.stored_events ORDER BY 1")]


def test_stored_fields_are_encrypted_and_loaded_fields_are_not(store, other_store, conn):
    register(store)

    (state,) = stored_states(conn)
    loaded = other_store.load(User, "u1")

    fields = msgspec.json.decode(state)
    assert all(fields[field].startswith(PREFIX) for field in ("name", "email", "phone"))
    assert (loaded.name, loaded.email, loaded.phone) == (NAME, EMAIL, PHONE)


def test_every_read_of_the_store_decrypts(store):
    register(store)
    rename(store, "Zoë Roy")

    assert [event.name for _, event in events_after(store, 0, 10)] == [NAME, "Zoë Roy"]
    assert [event.name for event in store.history(User, "u1")] == [NAME, "Zoë Roy"]
    assert store.outcome_of(User, "u1", "c1").name == NAME


def test_the_same_name_is_encrypted_differently_each_time(store):
    register(store)
    rename(store, "Other")
    rename(store, NAME)

    states = [state for _, state in store.recorder.select_recorded("u1", 1, 9)]

    encrypted = [decode(state).name for state in states]
    assert len(set(encrypted)) == 3


def test_an_absent_value_stays_absent(store, other_store, conn):
    register(store, phone=None)

    assert msgspec.json.decode(stored_states(conn)[0])["phone"] is None
    assert other_store.load(User, "u1").phone is None


def test_a_name_that_looks_encrypted_is_stored_as_a_name(store, other_store):
    register(store, name=PREFIX + "AAAA")

    assert other_store.load(User, "u1").name == PREFIX + "AAAA"


def test_unencrypted_events_of_an_old_log_are_read_and_the_next_event_creates_a_key(store, other_store, conn):
    plain = User.register(
        "u1",
        context(),
        name=NAME,
        email=EMAIL,
        phone=PHONE,
        role="staff",
        property_ids=(),
        preferences=Preferences(),
    ).pending[0]
    store.recorder.insert_events([store.mapper.to_stored_event(plain)])
    assert store.load(User, "u1").name == NAME

    rename(other_store, "Zoë Roy")

    assert other_store.load(User, "u1").name == store.load(User, "u1").name == "Zoë Roy"
    assert conn.execute("SELECT count(*) FROM privacy.person_keys").fetchone() == (1,)


def test_an_encrypted_value_cannot_be_moved_to_another_field_or_event(store, conn):
    register(store)
    register(store, "u2", command_id="c2")
    rename(store, "Zoë Roy")
    mine, renamed = (decode(state) for _, state in store.recorder.select_recorded("u1", 1, 2))
    ((_, state),) = store.recorder.select_recorded("u2", 1, 1)
    theirs = decode(state)

    for forged in (
        msgspec.structs.replace(theirs, name=mine.name),
        msgspec.structs.replace(mine, name=mine.email),
        msgspec.structs.replace(renamed, name=mine.name),
        msgspec.structs.replace(renamed, name=PREFIX + "AAAA"),
        msgspec.structs.replace(renamed, name=PREFIX + "!"),
    ):
        with pytest.raises(CannotDecrypt):
            decrypt_events(conn, VAULT, [forged])


def test_a_registration_sent_twice_is_stored_once_with_one_key(store, other_store, conn):
    register(store)

    again = register(other_store)

    assert again.position == store.outcome_of(User, "u1", "c1").position
    assert store.load(User, "u1").name == NAME
    assert conn.execute("SELECT count(*) FROM privacy.person_keys").fetchone() == (1,)


def test_a_registration_with_a_taken_id_does_not_change_the_key(store, other_store):
    register(store)

    with pytest.raises(VersionConflict):
        register(other_store, name="Another", command_id="c2")

    assert other_store.load(User, "u1").name == NAME


def test_no_store_returns_the_fields_of_an_erased_person(store, other_store, conn):
    register(store)
    rename(store, "Zoë Roy")
    other_store.load(User, "u1")

    erased = erase(store)

    fresh = EventStore(store._pool, VAULT)
    for user in (erased, *(one.load(User, "u1") for one in (store, other_store, fresh))):
        assert (user.name, user.email, user.phone, user.is_erased) == (ERASED_NAME, ERASED_EMAIL, None, True)
    assert [event.name for event in other_store.history(User, "u1")[:2]] == [ERASED_NAME, ERASED_NAME]
    assert conn.execute("SELECT sealed_key FROM privacy.person_keys").fetchall() == [(None,)]


def test_erasing_twice_is_recorded_once(store):
    register(store)

    first, second = erase(store), erase(store)

    assert (first.version, second.version, second.position) == (2, 2, 0)


def test_an_erased_person_cannot_be_changed(store):
    register(store)
    erase(store)

    with pytest.raises(Conflict, match="is erased"):
        rename(store, "Back again")


def test_a_change_concurrent_with_the_erasure_is_refused(store, other_store):
    register(store)
    slower = other_store.load(User, "u1")
    slower.change({"name": "Zoë Roy"}, context(command_id="c2"))
    erase(store)

    with pytest.raises(VersionConflict):
        other_store.save(slower)


def test_a_key_restored_from_a_backup_decrypts_nothing(store, other_store, conn):
    register(store)
    backup = conn.execute("SELECT sealed_key FROM privacy.person_keys").fetchone()
    erase(store)

    conn.execute("UPDATE privacy.person_keys SET sealed_key = %s, erased_at = NULL", backup)

    assert [event.name for event in other_store.history(User, "u1")[:1]] == [ERASED_NAME]


def test_the_erasure_is_projected_to_the_read_tables(database, store, conn, catch_up):
    from projections.verification import verify

    register(store)
    register(store, "u2", name="Bea", command_id="c2")
    rename(store, "Zoë Roy")
    catch_up()
    erase(store)

    catch_up()

    rows = conn.execute("SELECT id, name, email, phone FROM read.users ORDER BY id").fetchall()
    assert rows == [("u1", ERASED_NAME, ERASED_EMAIL, None), ("u2", "Bea", EMAIL, PHONE)]
    assert verify(database, VAULT, lambda done, total: None).count == 0


@pytest.mark.parametrize("kind", [UserRegistered, UserNameChanged])
def test_the_schema_marks_the_personal_fields(kind):
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    personal = {
        name
        for name, field in schema.items()
        if any(part.get("x-personal") for part in (field, *field.get("anyOf", ())))
    }

    assert personal == set(kind.personal)


def test_the_store_in_memory_does_not_encrypt():
    store = EventStore()
    register(store)

    erase(store)

    assert store.load(User, "u1").name == ERASED_NAME
    assert encode(store.history(User, "u1")[0]).count(PREFIX.encode()) == 0
