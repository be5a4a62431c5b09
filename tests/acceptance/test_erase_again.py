"""After a backup was restored, people are erased again by the notary's signed statements."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

from commands.erasure import erase_user
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import connect, make_pool
from notary.blocks import sql
from notary.follower import sign_log
from tests.support.arrange import register_user
from tests.support.commands import environment, ticketing
from tests.support.keys import operator
from tests.support.postgres import cloned_database
from tests.support.vault import VAULT

PEOPLE = ("u1", "u2", "u3")


def register(store, user_id):
    register_user(store, user_id, operator(), name=f"Name {user_id}", role="staff")


def sign_all(dsn):
    with connect(dsn, application="tests") as conn:
        sign_log(conn, VAULT)
        return [line for _, line in conn.execute(sql["statements_after"], {"number": 0, "limit": None})]


def names_in(dsn):
    with connect(dsn, application="tests") as conn:
        return dict(conn.execute("SELECT id, name FROM read.users ORDER BY id").fetchall())


def test_people_who_were_erased_after_the_backup_are_erased_again(postgres, template, tmp_path):
    file, forged = tmp_path / "checkpoints.jsonl", tmp_path / "forged.jsonl"
    with cloned_database(postgres, template) as dsn:
        with make_pool(dsn, application="tests", max_size=2) as pool:
            for user_id in PEOPLE[:2]:
                register(EventStore(pool, VAULT), user_id)
        sign_all(dsn)
        with cloned_database(postgres, conninfo_to_dict(dsn)["dbname"]) as backup:
            with make_pool(dsn, application="tests", max_size=2) as pool:
                store = EventStore(pool, VAULT)
                register(store, "u3")  # after the backup
                for user_id in ("u2", "u3"):
                    erase_user(store, user_id, operator())
            lines = sign_all(dsn)
            file.write_text("".join(f"{line}\n" for line in lines))
            forged.write_text(file.read_text().replace('"user_id":"u2"', '"user_id":"u1"'))
            environ = environment(DATABASE_URL=backup, TICKETING_HOME=str(tmp_path))
            again = ("user", "erase-again", "--yes", "--checkpoints")

            refused = ticketing(*again, str(forged), environ=environ)
            done = ticketing(*again, str(file), environ=environ)
            repeated = ticketing(*again, str(file), environ=environ)

            assert (refused.returncode, "is not valid" in refused.stderr) == (1, True)
            assert done.returncode == repeated.returncode == 0, done.stderr
            assert "u2 is erased again." in done.stderr
            assert "u3 is not in this database." in done.stderr
            assert "u2 is erased." in repeated.stderr
            assert names_in(backup) == {"u1": "Name u1", "u2": "Erased user"}
