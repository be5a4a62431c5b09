"""Measures the pages of the panel: time and size of each, and the cost of open pages when nothing happens."""

from __future__ import annotations

import gzip
import html
import math
import re
import threading
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

import msgspec

from benchmarks.bench import Bench, run_ticketing, running_system
from benchmarks.growth import load_tickets
from benchmarks.growth_report import percentile
from benchmarks.processor_time import difference, read_processor_seconds
from benchmarks.reads import find_people
from benchmarks.report import Report, Table
from infrastructure.storage.postgres import connect
from tests.support.browser import PASSWORD, Browser

MOST_MS, MOST_KB = 150.0, 100.0
REQUESTS = 40
OPEN_PAGES, MOST_SHARE = 200, 0.02
_SETTLE_SECONDS = 5.0
_OPEN_SECONDS = 120.0  # more than two waits, so that each page asks again
_STATIC = ("/web/site.css", "/web/site.js", "/web/icon.svg")
_LIST = "/admin/tickets"
_ADMIN = "SELECT id FROM read.users WHERE role = 'admin' AND is_active ORDER BY id LIMIT 1"
_NEWS = re.compile(r'data-news="([^"]+)"')
# {ticket} and the like are the paths of the first link of that kind on the page before.
PAGES = {
    "overview": "/admin",
    "tickets": _LIST,
    "tickets, page 100": f"{_LIST}?page=100",
    "oldest critical": f"{_LIST}?status=open,in_progress&priority=critical&order=asc",
    "search: leak": f"{_LIST}?q=leak",
    "search: leak 101": f"{_LIST}?q=leak+101",
    "search: smith": f"{_LIST}?q=smith",
    "search: lofts leak smith": f"{_LIST}?q=lofts+leak+smith",
    "ticket": "{ticket}",
    "history of a ticket": "{ticket}/history",
    "properties": "/admin/properties",
    "property": "{property}",
    "people": "/admin/users",
    "person": "{person}",
    "health": "/admin/health",
    "audit": "/admin/audit",
    "audit: openings": "/admin/audit?action=ticket.opened",
    "audit: ticket 1042": "/admin/audit?subject=1042",
    "own reports": "/admin/my",
    "own report": "{report}",
}
_LINKS = {
    "ticket": (_LIST, re.compile(rf'href="({_LIST}/[0-9a-f]{{8}}-[0-9a-f-]+)"')),
    "property": ("/admin/properties", re.compile(r'href="(/admin/properties/(?!new)[^"/]+)"')),
    "person": ("/admin/users", re.compile(r'href="(/admin/users/(?!new)[^"/]+)"')),
    "report": ("/admin/my", re.compile(r'href="(/admin/my/[0-9a-f]{8}-[0-9a-f-]+)"')),
}


class Shown(msgspec.Struct, frozen=True):
    """The seconds of each request for a page, and its size in kB, compressed, with style and script."""

    seconds: list[float]
    size: float


def measure_pages(bench: Bench) -> Report:
    """Each page as each role that may open it, at the largest size of --sizes; then the processor time of
    the API while OPEN_PAGES pages of tickets are open."""
    size = max(bench.options.sizes)
    dsn = load_tickets(bench, size)
    with connect(dsn, application="benchmarks") as conn:
        ((admin_id,),) = conn.execute(_ADMIN).fetchall()
    people = {"admin": admin_id, **{role: user_id for role, (user_id, _) in find_people(dsn).items()}}
    for user_id in people.values():
        run_ticketing(dsn, "user", "password", user_id, "--password-stdin", standard_input=PASSWORD)
    with running_system(dsn) as base_url:
        browsers = {role: _signed_in(base_url, user_id) for role, user_id in people.items()}
        found = {}
        for role, browser in browsers.items():
            bench.console.log(f"the pages of the {role} are measured")
            found[role] = _measure(browser)
        bench.console.log(f"{OPEN_PAGES} pages wait")
        idle = _share(dsn)
        with _OpenPages(browsers["admin"]) as answers:
            waiting = _share(dsn)
    return _make_report(size, found, idle, waiting, answers)


def _signed_in(base_url: str, user_id: str) -> Browser:
    browser = Browser(base_url)
    answer = browser.sign_in(user_id)
    if answer.status_code != 303:
        raise SystemExit(f"{user_id} cannot sign in: {answer.status_code}")
    return browser


def _measure(browser: Browser) -> dict[str, Shown]:
    links: dict[str, str] = {}
    for name, (path, pattern) in _LINKS.items():
        answer = browser.open(path)
        if answer.status_code == 200 and (link := pattern.search(answer.text)):
            links[name] = link[1]
    static = _static_size(browser)
    shown = {}
    for name, path in PAGES.items():
        if "{" in path and path[1 : path.index("}")] not in links:
            continue
        if (page := _time(browser, path.format(**links), static)) is not None:
            shown[name] = page
    return shown


def _static_size(browser: Browser) -> float:
    """The bytes of style, script and icon as a browser receives them."""
    return float(sum(len(gzip.compress(browser.open(path).content)) for path in _STATIC))


def _time(browser: Browser, path: str, static_bytes: float) -> Shown | None:
    """None for a page that the person may not open."""
    seconds, content = [], b""
    for _ in range(REQUESTS):
        began = time.perf_counter()
        answer = browser.open(path)
        seconds.append(time.perf_counter() - began)
        content = answer.content
        if answer.status_code != 200:
            return None
    return Shown(seconds, (len(gzip.compress(content)) + static_bytes) / 1_000)


def _share(dsn: str) -> float:
    """The part of a processor that the API and its sessions use."""
    time.sleep(_SETTLE_SECONDS)
    before, began = read_processor_seconds(dsn), time.perf_counter()
    time.sleep(_OPEN_SECONDS)
    used = difference(before, read_processor_seconds(dsn))
    seconds = sum(value for name, value in used.items() if name == "api" or name.startswith("session of"))
    return seconds / (time.perf_counter() - began)


class _OpenPages:
    """OPEN_PAGES pages of tickets that wait for news, as the script of the pages does."""

    def __init__(self, browser: Browser) -> None:
        listed = browser.open(f"{_LIST}?per_page=100").text
        tickets = list(dict.fromkeys(_LINKS["ticket"][1].findall(listed)))
        pages = [browser.open(path).text for path in tickets]
        self._addresses = [html.unescape(found[1]) for page in pages if (found := _NEWS.search(page))]
        self._host = urlsplit(browser.base_url).netloc
        self._cookies = "; ".join(f"{one.name}={one.value}" for one in browser.http.cookies)
        self._stopping = threading.Event()
        self._statuses: list[int] = []

    def __enter__(self) -> list[int]:
        for number in range(OPEN_PAGES):
            address = self._addresses[number % len(self._addresses)]
            threading.Thread(target=self._wait, args=(address,), daemon=True).start()
        return self._statuses

    def __exit__(self, *_: object) -> None:
        self._stopping.set()

    def _wait(self, address: str) -> None:
        connection = HTTPConnection(self._host, timeout=90)
        while not self._stopping.is_set():
            connection.request("GET", address, headers={"Cookie": self._cookies})
            answer = connection.getresponse()
            answer.read()
            self._statuses.append(answer.status)


def _make_report(
    size: int, found: dict[str, dict[str, Shown]], idle: float, waiting: float, answers: list[int]
) -> Report:
    rows = []
    for name in PAGES:
        cells = []
        for pages in found.values():
            shown = pages.get(name)
            cells.append("" if shown is None else f"{percentile(shown.seconds, 0.95):.0f} ms")
        sizes = [pages[name].size for pages in found.values() if name in pages]
        rows.append([name, *cells, f"{max(sizes, default=math.nan):.0f} kB"])
    slow = sum(
        percentile(shown.seconds, 0.95) > MOST_MS for pages in found.values() for shown in pages.values()
    )
    measured = sum(len(pages) for pages in found.values())
    others = sorted({status for status in answers if status != 204})
    return Report(
        tables=[
            Table(f"p95 of pages with {size:,} tickets", ["page", *found, "size"], rows),
            Table(
                f"{OPEN_PAGES} open pages of tickets while nothing happens",
                ["", "of a processor"],
                [["API without pages", f"{idle:.1%}"], ["with them", f"{waiting:.1%}"]],
            ),
        ],
        notes=[
            f"{slow} of {measured} pages take longer than {MOST_MS:.0f} ms. Sizes are compressed, with style"
            f" and script; at most {MOST_KB:.0f} kB are wanted.",
            f"Open pages cost {waiting - idle:.1%} of a processor; at most {MOST_SHARE:.0%} is wanted."
            f" {len(answers)} answers{', other statuses: ' + str(others) if others else ', all 204'}.",
        ],
        figures={
            "pages": {
                role: {name: one.seconds for name, one in pages.items()} for role, pages in found.items()
            },
            "idle": idle,
            "waiting": waiting,
        },
    )
