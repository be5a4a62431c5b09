"""Which waiting requests an event concerns."""

from projections.change_scope import Scope
from projections.change_watch import Concerned, Interest

MOVED_ON = ("ticket", "p1", 7, "new", "former")  # the columns of the statement `concerned`


def is_woken(requester_id):
    scope = Scope(self_id=requester_id, property_ids=frozenset(["p1"]), requester_id=requester_id)
    interest = Interest.of_caller(scope, ("tickets",), requester_id)
    return Concerned(0, 1, [MOVED_ON]).includes(interest)


def test_a_new_requester_of_a_ticket_wakes_the_former_one_too():
    assert [is_woken(each) for each in ("new", "former", "other")] == [True, True, False]
