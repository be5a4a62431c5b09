"""django-helpdesk from PyPI: its installation, database and server, and the operations of its clients."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from psycopg.conninfo import conninfo_to_dict

from benchmarks.bench import HOME, THREADS, WORKERS, terminated
from benchmarks.clients import Operations
from benchmarks.http_client import HttpClient
from tests.support.server import free_port

_PROGRAM = Path(__file__).parent / "django_helpdesk"
_VENV = HOME / "django-helpdesk"
_START_SECONDS = 60
_TOKEN = "a" * 32  # the client chooses the CSRF token, and sends it twice
_RESOLVED, _REOPENED = 3, 2
_PAGE = "draw=1&start=0&length=10"


def install() -> None:
    """Create the virtual environment. Does nothing if it has the pinned versions."""
    wanted = (_PROGRAM / "requirements.txt").read_text()
    done = _VENV / "installed.txt"
    if done.exists() and done.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", _VENV], check=True)
    pip = [_VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", _PROGRAM / "requirements.txt"], check=True)
    done.write_text(wanted)


def fill(dsn: str, *, tickets: int, open_tickets: int, clients: int) -> dict[str, Any]:
    """Create the tables and the tickets, and return what the clients need."""
    command = [_python(), "seed.py", *map(str, (tickets, open_tickets, clients))]
    done = subprocess.run(command, env=_environment(dsn), cwd=_PROGRAM, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"django-helpdesk was not filled: {done.stderr[-3_000:]}")
    return dict(json.loads(done.stdout))


@contextmanager
def running(dsn: str) -> Iterator[str]:
    """Serve with gunicorn and as many processes and threads as the API; yields the base URL."""
    port = free_port()
    options = {"workers": WORKERS, "threads": THREADS, "keep-alive": 75, "bind": f"127.0.0.1:{port}"}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [_python(), "-m", "gunicorn", "--worker-class", "gthread", *arguments]
    log = HOME / "django-helpdesk.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "django.core.wsgi:get_wsgi_application()"],
            env=_environment(dsn), cwd=_PROGRAM, stdout=output, stderr=output,
        )  # fmt: skip
    with terminated(process):
        base_url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + _START_SECONDS
        while not _answers(base_url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"django-helpdesk does not start:\n{log.read_text()[-3_000:]}")
            time.sleep(0.1)
        yield base_url


def prepare(number: int, base_url: str, seed: dict[str, Any], clients: int) -> Operations:
    """The operations of one client, each the fastest way that django-helpdesk has for it. Clients change
    different tickets."""
    cookies = f"sessionid={seed['sessions'][number]}; csrftoken={_TOKEN}"
    client = HttpClient(base_url, headers={"Cookie": cookies, "X-CSRFToken": _TOKEN})
    chance = random.Random(number)
    own = seed["tickets"][number::clients]
    changed: dict[int, int] = {}
    query = base64.b64encode(json.dumps({"filtering": {"status__in": [1, 2]}, "sorting": "created"}).encode())

    def create() -> None:
        body = {
            "queue": seed["queue"],
            "title": "Water leak",
            "description": "From the ceiling",
            "priority": 2,
        }
        answer = client.request("POST", "/api/tickets/", body, expect=201)
        assert json.loads(answer)["status"] == 1

    def change_status() -> None:
        ticket = chance.choice(own)["id"]
        status = changed[ticket] = _REOPENED if changed.get(ticket) == _RESOLVED else _RESOLVED
        body = {"ticket": ticket, "title": "Status", "comment": "Done", "public": False, "new_status": status}
        answer = client.request("POST", "/api/followups/", body, expect=201)
        assert json.loads(answer)["new_status"] == status

    def get_one() -> None:
        ticket = chance.choice(own)
        address = f"ticket={ticket['slug']}&email={quote(ticket['email'])}&key={ticket['key']}"
        assert b"Water leak" in client.request("GET", f"/view/?{address}")

    def list_open() -> None:
        path = f"/datatables_ticket_list/{query.decode()}?{_PAGE}"
        assert len(json.loads(client.request("GET", path))["data"]) == 10

    return {"create": create, "change status": change_status, "get one": get_one, "list open": list_open}


def _environment(dsn: str) -> dict[str, str]:
    address = conninfo_to_dict(dsn)
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "helpdesk_settings",
        "HELPDESK_HOST": str(address["host"]),
        "HELPDESK_DATABASE": str(address["dbname"]),
        "HELPDESK_USER": str(address["user"]),
    }


def _python() -> str:
    return str(_VENV.resolve() / "bin" / "python")


def _answers(base_url: str) -> bool:
    try:
        return requests.get(f"{base_url}/login/", timeout=5).status_code == 200
    except requests.RequestException:
        return False
