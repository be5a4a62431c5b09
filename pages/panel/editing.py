"""Saves a form whose aggregate others may change at the same time.

The form contains the version at which it was shown. A three-way merge compares that version, the current one
and the values that were sent, field by field: a field that the form does not change keeps its current value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from api.http.forms import Form
from commands.deciding import MAX_DECISIONS, TOO_MANY_CHANGES
from domain.aggregate import Aggregate
from domain.errors import Conflict, Details, DomainError, PreconditionFailed
from infrastructure.storage.event_store import EventStore
from pages.common.shown_form import ShownForm, Values

A = TypeVar("A", bound=Aggregate)

_CHANGED_MEANWHILE = (
    "Somebody else changed this after you opened the page, so nothing is saved yet. The stored value is shown"
    " below each field that both of you changed. Choose a value and save again."
)
_VERSION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class Edit(NamedTuple):
    """A form merged with the aggregate at its current `version`.

    `values` contains every field: as sent if the form changes it, otherwise the current value. `changed`
    contains the fields that differ from the current ones. `conflicts` contains the current values of the
    fields that both the form and, since the form was shown, another change set to different values.
    """

    version: int
    values: Values
    changed: Values
    conflicts: Values


def read_edit(
    store: EventStore, kind: type[A], aggregate_id: str, sent: Form, values_of: Callable[[A], Values]
) -> Edit:
    """The form merged with the aggregate as it is now. `values_of` returns the values of the form's fields.
    A form with a version that does not exist changes every field that differs."""
    now = store.load(kind, aggregate_id)
    version = version_of(sent)
    base = now if version == now.version else store.at_version(kind, aggregate_id, version)
    return merge(values_of(base) if base else {}, sent, values_of(now), now.version)


def merge(base: Values, sent: Form, now: Values, version: int) -> Edit:
    """The edit of a form that was shown with the values `base`."""
    values: Values = {}
    conflicts: Values = {}
    for name, present in now.items():
        before = base.get(name)
        if not sent.has(name):
            values[name] = present
        elif isinstance(present, list):
            values[name] = _merged_list(before, sent.lines(name), present)
        else:
            values[name] = _merged_text(before, sent.text(name), present)
        if values[name] != present and (before is None or (isinstance(before, str) and before != present)):
            conflicts[name] = present
    changed = {name: value for name, value in values.items() if value != now[name]}
    return Edit(version, values, changed, conflicts)


def save_edit(read: Callable[[], Edit], change: Callable[[Edit], A]) -> A:
    """Call `change` with the edit, and again with a new edit if another change was saved in between.

    `change` must expect the edit's version. Raises PreconditionFailed for an edit with conflicts.
    """
    for _ in range(MAX_DECISIONS):
        edit = read()
        if edit.conflicts:
            raise PreconditionFailed(edit.version)
        try:
            return change(edit)
        except PreconditionFailed:
            continue
    raise Conflict(TOO_MANY_CHANGES)


def refused_edit(
    edit: Edit, sent: Form, refusal: DomainError, labels: Mapping[str, str] | None = None
) -> ShownForm:
    """The form to show again: changed fields as sent, the others with their current values, and the errors.

    Each conflict shows the current value, or its label in `labels` if it has one."""
    errors: Details = {}
    if edit.conflicts or isinstance(refusal, PreconditionFailed):
        errors[""] = [_CHANGED_MEANWHILE]
    for name, present in edit.conflicts.items():
        texts = [present] if isinstance(present, str) else present
        shown = ", ".join((labels or {}).get(text, text) for text in texts)
        errors[name] = [f"Stored value: {shown or 'empty'}."]
    if not isinstance(refusal, PreconditionFailed):
        for name, messages in details_of(refusal).items():
            errors[name] = [*messages, *errors.get(name, [])]
    return ShownForm(edit.values, errors=errors, version=edit.version, command_id=sent.value("command_id"))


def details_of(refusal: DomainError) -> Details:
    """The errors by field; errors that concern no single field have the name ""."""
    return refusal.details or {"": [str(refusal)]}


def _merged_list(before: str | list[str] | None, sent: list[str], present: list[str]) -> list[str]:
    """The current list with the items that the form adds and without the items that it removes."""
    known = present if before is None else before
    added = [value for value in sent if value not in known and value not in present]
    return [value for value in present if value in sent or value not in known] + added


def _merged_text(before: str | list[str] | None, sent: str, present: str) -> str:
    """The text as sent, or `present` when the form did not change it."""
    left = [_one_line(text) for text in (before, present) if isinstance(text, str)]
    return present if _one_line(sent) in left else sent


def _one_line(text: str) -> str:
    """The text as a browser sends it from a field of one line."""
    return text.replace("\r", "").replace("\n", "").strip()


def version_of(sent: Form) -> int:
    """The version at which the form was shown; 0, which no aggregate has, when it is not a version."""
    text = sent.value("version")
    return int(text) if _VERSION.fullmatch(text) else 0
