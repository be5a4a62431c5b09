"""Checks that the answers clients got, the log, and everything derived from the log are consistent.

The checks are pure functions of the evidence, so that tests can show that they find planted violations.
`check` returns the violations by the name of the check; for a correct history it returns nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tests.chaos.operations import TIMEOUT_SECONDS, WRITES, Operation

Violations = Iterator[str]

ANSWER_SECONDS = 5.0
ROUTES = {  # that are counted, by the kind of operation
    "open": ("POST", "/v1/tickets"),
    "change": ("PATCH", "/v1/tickets/{ticket_id}"),
    "comment": ("POST", "/v1/tickets/{ticket_id}/comments"),
    "upload": ("POST", "/v1/tickets/{ticket_id}/attachments"),
    "bulk": ("POST", "/v1/tickets/bulk"),
    "read": ("GET", "/v1/tickets/{ticket_id}"),
}


class Logged(NamedTuple):
    """One event of a ticket. `marker` is the title, text or file name that the event writes; `state` is a
    digest of its bytes."""

    position: int
    event_id: str
    ticket_id: str
    version: int
    marker: str
    state: bytes


class Streamed(NamedTuple):
    """One record of a topic, in the order in which a consumer of its partition received them."""

    position: int
    ticket_id: str
    partition: int
    state: bytes


class Posted(NamedTuple):
    """One webhook post, in the order of arrival; its body names `position`, `ticket_id` and `version`, and
    `body` is its digest. `is_signed`: a public library accepted its signature."""

    webhook: str
    message_id: str
    position: int
    ticket_id: str
    version: int
    body: bytes
    is_signed: bool


class Evidence(NamedTuple):
    """Everything that is compared.

    `rows` has the read tables, `folded` the same rows computed from the log, `differences` what `ticketing
    verify` found, `copy` the versions of tickets that a client of the changes has, and `setbacks` what was
    wrong in them on the way. `files` has the digest of each uploaded file, by its name, or None if it cannot
    be downloaded; `content` is that of all that was sent. No webhook is about the tickets in `not_posted`.

    `counted` is the number of 2xx answers by method and route, or None if the API was started meanwhile.
    `may_break`: nginx itself was the target of a fault, so connections to it may have broken. `problems` are
    those of the rig's steps, such as a recovery that took too long.
    """

    operations: Sequence[Operation]
    log: Sequence[Logged]
    feed: Sequence[tuple[int, str]]
    records: Sequence[Streamed]
    posts: Sequence[Posted]
    webhooks: Sequence[str]
    not_posted: frozenset[str]
    rows: dict[str, Any]
    folded: dict[str, Any]
    differences: Sequence[str]
    copy: dict[str, int]
    setbacks: Sequence[str]
    files: dict[str, bytes | None]
    content: bytes
    counted: dict[tuple[str, str], int] | None
    may_break: bool
    problems: Sequence[str]


class Request(NamedTuple):
    """All attempts of one request."""

    key: str
    tries: list[Operation]

    @property
    def answers(self) -> set[tuple[str, int | None, int | None]]:
        """Outcome, status and version of the attempts whose outcome is known."""
        return {(o.outcome, o.status, o.version) for o in self.tries if o.outcome != "unknown"}

    @property
    def first_ok(self) -> Operation | None:
        return next((o for o in self.tries if o.outcome == "ok"), None)

    @property
    def is_refused(self) -> bool:
        return self.first_ok is None and bool(self.answers)


def check(evidence: Evidence) -> dict[str, list[str]]:
    """The violations found, by the name of the check."""
    found = {name: list(violations(evidence)) for name, violations in CHECKS.items()}
    return {name: wrong for name, wrong in found.items() if wrong}


def acknowledged_writes_are_stored_once(evidence: Evidence) -> Violations:
    """Every acknowledged write is in the log exactly once, at the version that its client received."""
    events = _by_marker(evidence)
    for request in _writes(evidence):
        ok = request.first_ok
        if ok is None:
            continue
        effects = events[request.key]
        if len(effects) != 1:
            yield f"{request.key} was acknowledged and is in the log {len(effects)} times"
        elif effects[0].ticket_id != ok.ticket_id or ok.version not in (None, effects[0].version):
            stored = f"{effects[0].ticket_id} version {effects[0].version}"
            yield f"{request.key} was answered {ok.ticket_id} version {ok.version} and is stored as {stored}"


def refused_writes_are_not_stored(evidence: Evidence) -> Violations:
    """A refused write is not in the log, an unanswered one at most once, and no other event is in the log."""
    requests = {request.key: request for request in _writes(evidence)}
    for marker, effects in _by_marker(evidence).items():
        request = requests.get(marker)
        if request is None:
            yield f"{marker} is in the log, and no client requested it"
        elif request.is_refused:
            yield f"{marker} was refused and is in the log"
        elif request.first_ok is None and len(effects) > 1:
            yield f"{marker} was not answered and is in the log {len(effects)} times"


def versions_have_no_gaps(evidence: Evidence) -> Violations:
    versions: dict[str, list[int]] = defaultdict(list)
    for event in sorted(evidence.log):
        versions[event.ticket_id].append(event.version)
    for ticket_id, found in versions.items():
        if found != list(range(1, len(found) + 1)):
            yield f"{ticket_id} has the versions {found}"


def feed_is_the_log(evidence: Evidence) -> Violations:
    """The feed, read from its beginning, returns every event once, in order of position."""
    expected = [(event.position, event.event_id) for event in sorted(evidence.log)]
    if list(evidence.feed) != expected:
        yield f"the feed differs: {sorted(set(evidence.feed) ^ set(expected))[:5] or 'in order'}"


def tables_are_the_fold(evidence: Evidence) -> Violations:
    for table in sorted(evidence.folded.keys() | evidence.rows.keys()):
        rows, folded = evidence.rows.get(table, {}), evidence.folded.get(table, {})
        for key in sorted(rows.keys() | folded.keys()):
            if rows.get(key) != folded.get(key):
                yield f"{table} {key}: {rows.get(key)} instead of {folded.get(key)}"


def stream_is_the_log(evidence: Evidence) -> Violations:
    """Committed records are not lost, repeated, altered, out of order, or spread over two partitions."""
    log = {event.position: event for event in evidence.log}
    seen: Counter[int] = Counter()
    versions: dict[str, int] = {}
    partitions: dict[str, int] = {}
    for record in evidence.records:
        seen[record.position] += 1
        event = log.get(record.position)
        if event is None or (event.ticket_id, event.state) != (record.ticket_id, record.state):
            yield f"the record of {record.position} differs from the event in the log"
            continue
        if event.version != versions.get(event.ticket_id, 0) + 1:
            yield f"{event.ticket_id} version {event.version} came after {versions.get(event.ticket_id, 0)}"
        versions[event.ticket_id] = event.version
        if partitions.setdefault(record.ticket_id, record.partition) != record.partition:
            yield f"{record.ticket_id} is in two partitions"
    for position in log.keys() - seen.keys():
        yield f"the event at {position} has no record"
    yield from (
        f"the event at {position} has {count} records" for position, count in seen.items() if count > 1
    )


def webhooks_receive_the_log(evidence: Evidence) -> Violations:
    """Each webhook receives every event it is about at least once, correctly signed, and nothing else. The
    first deliveries of a ticket's events arrive in order. Posts with the same id have the same body."""
    log = {event.position: event for event in evidence.log if event.ticket_id not in evidence.not_posted}
    for webhook in evidence.webhooks:
        bodies: dict[str, bytes] = {}
        ids: dict[int, str] = {}
        last: dict[str, int] = {}
        for post in (post for post in evidence.posts if post.webhook == webhook):
            if not post.is_signed:
                yield f"{webhook}: {post.message_id} has an invalid signature"
            if bodies.setdefault(post.message_id, post.body) != post.body:
                yield f"{webhook}: {post.message_id} was posted with two bodies"
            event = log.get(post.position)
            if event is None or (event.ticket_id, event.version) != (post.ticket_id, post.version):
                yield f"{webhook}: {post.message_id} is about {post.position}, which is no event for it"
            elif event.position not in ids:
                if event.version <= last.get(event.ticket_id, 0):
                    yield f"{webhook}: {event.ticket_id} version {event.version} came too late"
                last[event.ticket_id] = event.version
                ids[event.position] = post.message_id
            elif ids[event.position] != post.message_id:
                yield f"{webhook}: the event at {event.position} was posted under two ids"
        for position in log.keys() - ids.keys():
            yield f"{webhook} never received the event at {position}"


def versions_are_linearizable(evidence: Evidence) -> Violations:
    """Every request sees the versions that were answered before it began: no stale read, no lost update, no
    version from a write that had not been sent yet. A read shows the title of the version that it names."""
    titles = _titles(evidence)
    begun = {request.key: request.tries[0].invoked_at for request in _writes(evidence)}
    log = {(event.ticket_id, event.version): event for event in evidence.log}
    finished: list[tuple[float, str, int]] = []
    started: list[tuple[float, float, str, int, bool, str]] = []
    for request in _requests(evidence):
        ok = request.first_ok
        if ok is None or ok.version is None or ok.ticket_id is None:
            continue
        is_read = ok.kind == "read"
        finished.append((ok.returned_at, ok.ticket_id, ok.version))
        started.append(
            (request.tries[0].invoked_at, ok.returned_at, ok.ticket_id, ok.version, is_read, request.key)
        )
        if is_read and titles.get((ok.ticket_id, ok.version)) != ok.marker:
            yield f"{request.key} read {ok.marker!r} as version {ok.version} of {ok.ticket_id}"
    finished.sort()
    floors: dict[str, int] = defaultdict(int)
    done = 0
    for invoked_at, returned_at, ticket_id, version, is_read, key in sorted(started):
        while done < len(finished) and finished[done][0] < invoked_at:
            _, other_ticket_id, other_version = finished[done]
            floors[other_ticket_id] = max(floors[other_ticket_id], other_version)
            done += 1
        if version < floors[ticket_id] + (not is_read):
            yield f"{key} got version {version} after version {floors[ticket_id]} had been answered"
        event = log.get((ticket_id, version))
        if event is not None and begun.get(event.marker, 0.0) > returned_at:
            yield f"{key} got version {version} before any client had requested it"


def keys_apply_once(evidence: Evidence) -> Violations:
    """All attempts of a request together have one effect and one answer."""
    for request in _writes(evidence):
        if len(request.answers) > 1:
            yield f"{request.key} was answered {sorted(request.answers, key=str)}"
    for marker, effects in _by_marker(evidence).items():
        if len(effects) > 1:
            yield f"{marker} had {len(effects)} effects"


def conditions_have_one_winner(evidence: Evidence) -> Violations:
    """Of all changes of one version of a ticket (If-Match), one succeeds and makes the next version."""
    winners: dict[tuple[str | None, int], list[str]] = defaultdict(list)
    for request in _writes(evidence):
        ok = request.first_ok
        if ok is None or ok.expected_version is None:
            continue
        winners[ok.ticket_id, ok.expected_version].append(request.key)
        if ok.version != ok.expected_version + 1:
            yield f"{request.key} changed version {ok.expected_version} into {ok.version}"
    for (ticket_id, version), keys in winners.items():
        if len(keys) > 1:
            yield f"version {version} of {ticket_id} was changed by {keys}"


def answers_are_proper(evidence: Evidence) -> Violations:
    """Every request is answered within ANSWER_SECONDS, and the only 5xx is 503 with Retry-After. The time in
    which the machine did not run a thread that wanted to run does not count."""
    for operation in evidence.operations:
        if operation.kind == "bulk_open":
            continue
        seconds = operation.returned_at - operation.invoked_at
        is_late = seconds > ANSWER_SECONDS and not is_slow_machine(operation)
        text = f"{operation.key} ({operation.kind})"
        took = f"{seconds:.2f} s, {operation.late_seconds:.2f} s of it for the machine"
        if operation.status is None and not evidence.may_break and (is_late or seconds < TIMEOUT_SECONDS):
            yield f"{text} was not answered, after {took}"
        elif operation.status is not None and is_late and not evidence.may_break:
            yield f"{text} was answered {operation.status} after {took}"
        is_failure = operation.status is not None and operation.status >= 500
        if is_failure and not (operation.status == 503 and operation.retry_after):
            yield f"{text} was answered {operation.status} with Retry-After {operation.retry_after}"


def is_slow_machine(operation: Operation) -> bool:
    """Whether a request took more than ANSWER_SECONDS only because the machine did not run a thread that
    wanted to run. The items of a bulk request count as one request."""
    seconds = operation.returned_at - operation.invoked_at
    is_request = operation.kind != "bulk_open"
    return is_request and seconds > ANSWER_SECONDS >= seconds - operation.late_seconds


def copies_are_the_log(evidence: Evidence) -> Violations:
    """A client that follows the changes has the newest version of each ticket, and never got an older one."""
    newest: dict[str, int] = {}
    for event in evidence.log:
        newest[event.ticket_id] = max(newest.get(event.ticket_id, 0), event.version)
    for ticket_id, version in newest.items():
        if evidence.copy.get(ticket_id) != version:
            yield f"the copy has version {evidence.copy.get(ticket_id)} of {ticket_id} instead of {version}"
    for ticket_id in evidence.copy.keys() - newest.keys():
        yield f"the copy has {ticket_id}, which is not in the log"
    yield from evidence.setbacks


def files_are_whole(evidence: Evidence) -> Violations:
    """The file of every acknowledged upload can be downloaded, and is the one that was sent."""
    uploads = {one.key for one in evidence.operations if one.kind == "upload" and one.outcome == "ok"}
    for key in uploads:
        if evidence.files.get(key) != evidence.content:
            yield f"the file {key} is {'missing' if evidence.files.get(key) is None else 'another'}"


def nothing_else_went_wrong(evidence: Evidence) -> Violations:
    """`ticketing verify` found no difference, and the system recovered in time."""
    yield from evidence.differences
    yield from evidence.problems


def counters_agree(evidence: Evidence) -> Violations:
    """The API counted every success that clients saw, and no more requests than they made."""
    if evidence.counted is None:
        return
    for kind, route in ROUTES.items():
        outcomes = Counter(o.outcome for o in evidence.operations if o.kind == kind)
        least, most = outcomes["ok"], outcomes["ok"] + outcomes["unknown"]
        if not least <= evidence.counted.get(route, 0) <= most:
            yield f"{route} was counted {evidence.counted.get(route, 0)} times instead of {least} to {most}"


CHECKS: dict[str, Callable[[Evidence], Violations]] = {
    check.__name__: check
    for check in (
        acknowledged_writes_are_stored_once,
        refused_writes_are_not_stored,
        versions_have_no_gaps,
        feed_is_the_log,
        tables_are_the_fold,
        stream_is_the_log,
        webhooks_receive_the_log,
        versions_are_linearizable,
        keys_apply_once,
        conditions_have_one_winner,
        counters_agree,
        answers_are_proper,
        copies_are_the_log,
        files_are_whole,
        nothing_else_went_wrong,
    )
}


def _requests(evidence: Evidence) -> list[Request]:
    """The operations grouped by request, ordered by the start of the first attempt."""
    requests: dict[str, Request] = {}
    for operation in sorted(evidence.operations, key=lambda o: o.invoked_at):
        requests.setdefault(operation.key, Request(operation.key, [])).tries.append(operation)
    return list(requests.values())


def _writes(evidence: Evidence) -> list[Request]:
    return [request for request in _requests(evidence) if request.tries[0].kind in WRITES]


def _by_marker(evidence: Evidence) -> dict[str, list[Logged]]:
    events: dict[str, list[Logged]] = defaultdict(list)
    for event in evidence.log:
        events[event.marker].append(event)
    return events


def _titles(evidence: Evidence) -> dict[tuple[str, int], str]:
    """The title of each version of each ticket; comments and files do not change it."""
    titles: dict[tuple[str, int], str] = {}
    for event in sorted(evidence.log):
        has_no_title = event.marker.startswith(("comment-", "upload-"))
        before = titles.get((event.ticket_id, event.version - 1), "")
        titles[event.ticket_id, event.version] = before if has_no_title else event.marker
    return titles
