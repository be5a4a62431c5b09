"""What the forms for passwords have in common."""

from __future__ import annotations

from api.http.forms import Form
from domain.errors import Invalid

BUSY = Invalid({"": ["Too many passwords are being checked. Try again in a second."]})


def require_same(form: Form) -> str:
    """The new password. Raises Invalid unless it was typed the same twice."""
    password = form.value("password")
    if password != form.value("again"):
        raise Invalid({"again": ["The two passwords do not match."]})
    return password
