"""The parameter `fields`: which fields of each object an answer has."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import UNSET, Meta

ALWAYS = "id"


def name_of_field(view: type[msgspec.Struct]) -> Meta:
    """The constraint of a text that is the name of a field of `view`."""
    names = view.__struct_fields__
    return Meta(pattern=rf"^({'|'.join(names)})\Z", description=f"It must be one of {', '.join(names)}.")


def select_fields(view: msgspec.Struct, names: Collection[str], others: Collection[str] = ()) -> Any:
    """The fields of `view` in `names` or `others`, and its id, in the order of `view`. All fields if `names`
    is empty."""
    if not names:
        return view
    shown = {ALWAYS, *names, *others}
    found = {name: getattr(view, name) for name in view.__struct_fields__ if name in shown}
    return {name: value for name, value in found.items() if value is not UNSET}
