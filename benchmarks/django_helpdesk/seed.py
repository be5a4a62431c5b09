"""Fills an empty database of django-helpdesk: `python seed.py TICKETS OPEN CLIENTS`.

Prints as JSON what the clients need: a session of a member of the staff for each client, and the open tickets
with what their submitters' view needs. Every ticket has four follow-ups.
"""

import json
import sys
from datetime import timedelta
from importlib import import_module

import django
from django.conf import settings

django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402
from helpdesk.models import FollowUp, Queue, Ticket  # noqa: E402

FOLLOW_UPS = 4
TITLE, TEXT = "Water leak in bathroom", "There is water leaking from the ceiling in the bathroom"


def main(tickets: int, open_tickets: int, clients: int) -> None:
    call_command("migrate", verbosity=0)
    users = [
        get_user_model().objects.create_superuser(f"staff{number}", f"staff{number}@example.com", "benchmark")
        for number in range(clients)
    ]
    call_command("create_usersettings", verbosity=0)
    queue = Queue.objects.create(title="Benchmark", slug="benchmark")
    began = timezone.now() - timedelta(days=365)
    made = Ticket.objects.bulk_create(
        Ticket(
            title=TITLE,
            description=TEXT,
            queue=queue,
            submitter_email=f"guest{number % 500}@example.com",
            created=began + timedelta(days=365) * number / tickets,
            modified=began + timedelta(days=365) * number / tickets,
            status=Ticket.OPEN_STATUS
            if number * open_tickets % tickets < open_tickets
            else Ticket.CLOSED_STATUS,
            secret_key=f"key{number}",
        )
        for number in range(tickets)
    )
    FollowUp.objects.bulk_create(
        FollowUp(
            ticket=ticket, title="Comment", comment=TEXT, public=True, user=users[0], date=ticket.created
        )
        for ticket in made
        for _ in range(FOLLOW_UPS)
    )
    shown = [
        {"id": one.id, "email": one.submitter_email, "key": one.secret_key, "slug": f"benchmark-{one.id}"}
        for one in made
        if one.status == Ticket.OPEN_STATUS
    ]
    sessions = [make_session(user) for user in users]
    print(json.dumps({"queue": queue.id, "sessions": sessions, "tickets": shown}))


def make_session(user) -> str:
    """The key of a session in which the user is signed in."""
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
