"""The summary above a refused form: how many problems it has, with a link to each field.

The summary comes before the fields, but the labels of the fields are known only after these are rendered. So
the template leaves a mark, and the finished page gets the summary in its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import jinja2

from pages.common.shown_form import ShownForm


class Problem(NamedTuple):
    """The messages about one field. `target` is the id of its element, or empty."""

    target: str
    text: str


def add_summaries(page: str, forms: Iterable[ShownForm], template: jinja2.Template) -> str:
    """The page with the summary of each refused form in place of its mark."""
    for form in forms:
        if form.errors:
            page = page.replace(form.mark, template.render(problems=problems_of(form)))
    return page


def problems_of(form: ShownForm) -> list[Problem]:
    """The problems of the form: first those of no single field, then in the order of the fields."""
    general = [Problem("", message) for message in form.messages("")]
    order = {name: place for place, name in enumerate(form.labels)}
    names = sorted(filter(None, form.errors), key=lambda name: order.get(name, len(order)))
    return general + [_problem(form, name) for name in names]


def _problem(form: ShownForm, name: str) -> Problem:
    label, text = form.labels.get(name), " ".join(form.messages(name))
    if label is None or text.startswith(label):
        return Problem(name if label else "", text)
    return Problem(name, f"{label}: {text}")
