"""The effective rights of a caller, computed from its person and its credential."""

from __future__ import annotations

import pytest

from domain.access import effective_rights

EVERY_PROPERTY = None


@pytest.mark.parametrize(
    ("person", "credential", "role", "property_ids"),
    [
        # An admin reaches every property, even with a list.
        (("admin", ("p1",)), None, "admin", EVERY_PROPERTY),
        (("staff", ("p1",)), None, "staff", {"p1"}),
        (("staff", ()), None, "staff", set()),
        # The empty list of a credential means every property.
        (None, ("manager", ()), "manager", EVERY_PROPERTY),
        (None, ("admin", ("p1",)), "admin", {"p1"}),
        (("admin", ()), ("staff", ()), "staff", EVERY_PROPERTY),
        (("staff", ("p1", "p2")), ("admin", ()), "staff", {"p1", "p2"}),
        (("staff", ("p1", "p2")), ("admin", ("p2", "p3")), "staff", {"p2"}),
        (("guest", ("p1",)), ("guest", ("p2",)), "guest", set()),
    ],
)
def test_a_caller_has_the_rights_that_its_person_and_its_credential_share(
    person, credential, role, property_ids
):
    rights = effective_rights(person, credential)

    assert (rights.role, rights.property_ids) == (role, property_ids)


@pytest.mark.parametrize(
    ("credential", "is_narrowed"),
    [
        (("admin", ()), False),
        (("staff", ("p1", "p2", "p3")), False),
        (("guest", ()), True),
        (("staff", ("p1",)), True),
    ],
)
def test_a_credential_with_fewer_rights_than_its_person_is_narrowed(credential, is_narrowed):
    assert effective_rights(("staff", ("p1", "p2")), credential).is_narrowed is is_narrowed


def test_a_credential_without_a_person_is_not_narrowed():
    assert not effective_rights(None, ("staff", ("p1",))).is_narrowed


@pytest.mark.parametrize(("listed", "restricted_to"), [((), EVERY_PROPERTY), (("p1",), {"p1"})])
def test_the_properties_of_the_credential_are_returned_separately(listed, restricted_to):
    """A guest sees their own tickets in any property, but with a restricted key only in those of the key."""
    assert effective_rights(("guest", ()), ("guest", listed)).key_property_ids == restricted_to


def test_a_limit_lowers_the_role_and_never_raises_it():
    assert effective_rights(("admin", ()), at_most="staff").role == "staff"
    assert effective_rights(("guest", ()), at_most="manager").role == "guest"
