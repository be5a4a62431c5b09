"""Random sequences of events that commands could have recorded, in a possible order."""

from __future__ import annotations

import random
from datetime import timedelta

import msgspec

from domain.access import Context
from domain.aggregate import Aggregate, DomainEvent
from domain.attachment import Attachment
from domain.comment import Comment
from domain.comments import CommentReader
from domain.property import Property
from domain.ticket import PRIORITIES, STATUSES, Ticket, TicketStatusChanged
from domain.user import Preferences, User
from infrastructure.storage.event_store import EventStore
from tests.unit.builders import NOON, OCEAN_DRIVE, caller, context

TAGS = ("urgent", "vip", "warranty")
WORDS = ("leak", "ceiling", "heater", "broken", "window", "mouse", "kitchen", "élan", "noise", "lift")


class History:
    """Changes aggregates by random valid steps. The same seed gives the same events."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._step = 0
        self.properties: list[Property] = []
        self.users: list[User] = []
        self.tickets: list[Ticket] = []
        self._comments: dict[str, list[Comment]] = {}  # by ticket

    def grow(self, steps: int) -> list[list[DomainEvent]]:
        """Change aggregates in `steps` more steps, and return the events, one list for each append."""
        appends = []
        while len(appends) < steps:
            if events := self._grow_once().collect_events():
                appends.append(events)
        return appends

    def _grow_once(self) -> Aggregate:
        self._step += 1
        if len(self.properties) < 2 or self._random.random() < 0.03:
            return self._register_property()
        if len(self.users) < 3 or self._random.random() < 0.03:
            return self._register_user()
        if not self.tickets or self._random.random() < 0.25:
            return self._open_ticket()
        pick = self._random.random()
        if pick < 0.1:
            return self._change_property(self._random.choice(self.properties))
        if pick < 0.2:
            return self._change_user(self._random.choice(self.users))
        return self._change_ticket(self._random.choice(self.tickets))

    def _context(self):
        user = self._random.choice(self.users) if self.users else None
        by = caller(user_id=user.id if user else "system")
        at = NOON + timedelta(seconds=self._step, microseconds=self._random.randrange(1_000_000))
        return context(by, at=at, command_id=f"step-{self._step}")

    def _text(self) -> str:
        return " ".join(self._random.choices(WORDS, k=3)) + f" {self._step}"

    def _tags(self) -> tuple[str, ...]:
        return tuple(self._random.sample(TAGS, k=self._random.choice((0, 0, 1, 2))))

    def _register_property(self) -> Property:
        place = Property.register(
            f"p{len(self.properties)}", self._context(), name=self._text(), address=OCEAN_DRIVE
        )
        place.add_unit("unit0", "Unit 0", self._context())
        self.properties.append(place)
        return place

    def _register_user(self) -> User:
        user = User.register(
            f"u{len(self.users)}",
            self._context(),
            name=self._text(),
            email="someone@example.com",
            phone=None,
            role=self._random.choice(("admin", "manager", "staff", "guest")),
            property_ids=(self._random.choice(self.properties).id,),
            preferences=Preferences(),
        )
        self.users.append(user)
        return user

    def _open_ticket(self) -> Ticket:
        place = self._random.choice(self.properties)
        ticket = Ticket.open(
            f"t{len(self.tickets)}",
            self._context(),
            title=self._text(),
            description=self._text(),
            priority=self._random.choice(PRIORITIES),
            category="general",
            property_id=place.id,
            unit_id=self._random.choice((None, *place.units)),
            requester_id=self._requester_id(),
            tags=self._tags(),
            external_ids=self._random.choice(({}, {"sap": f"{self._step}"})),
        )
        self.tickets.append(ticket)
        return ticket

    def _requester_id(self) -> str:
        return self._random.choice((*(user.id for user in self.users), "key-1", "nobody"))

    def _change_property(self, place: Property) -> Property:
        external_ids = self._random.choice(({}, {"sap": f"{self._step}"}))
        match self._random.randrange(3):
            case 0:
                place.change({"name": self._text(), "external_ids": external_ids}, self._context())
            case 1:
                name, at = self._text(), self._context()
                place.add_unit(f"unit{len(place.units)}", name, at, external_ids)
                place.change_unit("unit0", external_ids, at)
            case 2:
                address = msgspec.structs.replace(OCEAN_DRIVE, street=self._text())
                place.change({"address": address}, self._context())
        return place

    def _change_user(self, user: User) -> User:
        match self._random.randrange(4):
            case 0 | 1:
                user.change({"name": self._text()}, self._context())
            case 2:
                changes = {"phone": f"+1 {self._step}", "external_ids": {"hr": f"{self._step}"}}
                user.change(changes, self._context())
            case 3:
                chosen = self._random.sample(self.properties, k=2)
                user.change({"property_ids": tuple(place.id for place in chosen)}, self._context())
        return user

    def _change_ticket(self, ticket: Ticket) -> Ticket:
        at = self._context()
        match self._random.randrange(15):
            case 0:
                ticket.change({"title": self._text()}, at)
            case 1:
                ticket.change({"description": self._text()}, at)
            case 2:
                ticket.change({"priority": self._random.choice(PRIORITIES)}, at)
            case 3:
                ticket.change({"status": self._random.choice(STATUSES)}, at)
            case 4:
                self._change_status_as_in_old_logs(ticket, at)
            case 5:
                ticket.change(
                    {"assignee_id": self._random.choice((None, *(user.id for user in self.users)))}, at
                )
            case 6:
                ticket.change({"property_id": self._random.choice(self.properties).id, "unit_id": None}, at)
            case 7:
                ticket.comment(
                    f"c{self._step}", self._text(), self._random.choice(("public", "internal")), at
                )
                self._comments.setdefault(ticket.id, []).append(comment_added(ticket.pending[-1]))
            case 8:
                if len(ticket.attachments) < 20:
                    file = Attachment(f"a{self._step}", "leak.jpg", "image/jpeg", 1_024, "00" * 32, at.at)
                    ticket.attach(file, at)
            case 11:
                self._change_comment(ticket, at)
            case 12:
                if ticket.attachments:
                    ticket.remove_file(self._random.choice(ticket.attachments), at)
            case 13:
                external_ids = self._random.choice(({}, {"sap": f"{self._step}", "crm": "ä,1"}))
                ticket.change({"tags": self._tags(), "external_ids": external_ids}, at)
            case 14:
                ticket.change({"requester_id": self._requester_id()}, at)
            case 9:
                ticket.delete(at)
            case 10:
                ticket.restore(at)
                ticket.change({"category": f"category-{self._step}"}, at)
        return ticket

    def _change_comment(self, ticket: Ticket, at: Context) -> None:
        """Edit or remove a comment of the ticket, if it has any."""
        comments = self._comments.get(ticket.id, [])
        if not comments:
            return
        comment = comments.pop(self._random.randrange(len(comments)))
        if self._random.random() < 0.5:
            ticket.remove_comment(comment, at)
            return
        ticket.edit_comment(comment, self._text(), at)
        text = ticket.pending[-1].text
        comments.append(msgspec.structs.replace(comment, text=text, text_version=ticket.version))

    def _change_status_as_in_old_logs(self, ticket: Ticket, at: Context) -> None:
        """Record `ticket.status_changed` for every change, as before `ticket.resolved` and
        `ticket.reopened` existed. Such logs must stay readable."""
        status = self._random.choice(STATUSES)
        if status != ticket.status:
            ticket.record(TicketStatusChanged, at, status=status)


def comment_added(event: DomainEvent) -> Comment:
    """The comment that the event added."""
    comment = CommentReader().take(event)
    assert comment is not None
    return comment


def append(store: EventStore, appends: list[list[DomainEvent]]) -> int:
    """Store the events without the checks of commands, and return the last position."""
    position = 0
    for events in appends:
        encrypted = store.encrypt(events)
        stored = [store.mapper.to_stored_event(event) for event in encrypted.events]
        position = store.recorder.insert_events(stored, statements=encrypted.statements)[-1]
    return position
