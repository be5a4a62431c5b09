"""The order of queued work: groups take turns."""

from server.connection import group_of
from server.fair_queue import FairQueue

WRITE = b"PATCH /v1/tickets/%b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n"
READ = b"GET /v1/tickets/%b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n"


def take(queue, count):
    return [queue.get() for _ in range(count)]


def test_groups_take_turns_and_each_keeps_its_order():
    queue = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        queue.put(item, item[0])

    assert take(queue, 6) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_group_that_comes_later_waits_for_one_turn_of_each_other():
    queue = FairQueue()
    for number in range(1_000):
        queue.put(f"a{number}", "a")
    queue.get()
    queue.put("b", "b")

    assert take(queue, 2) == ["a1", "b"]


def test_the_end_comes_after_all_items():
    queue = FairQueue()
    queue.put_end()
    queue.put("item", "group")

    assert take(queue, 2) == ["item", None]


def test_changes_of_one_object_are_a_group_and_reads_of_one_key_are_another():
    groups = [
        group_of(WRITE % (b"t1", b"k1")),
        group_of(WRITE % (b"t1", b"k1") + b"more"),
        group_of(WRITE % (b"t2", b"k1")),
        group_of(READ % (b"t1", b"k1")),
        group_of(READ % (b"t2", b"k1")),
        group_of(READ % (b"t1", b"k2")),
        group_of(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        group_of(b"nonsense"),
    ]

    assert groups[0] == groups[1]
    assert groups[3] == groups[4]
    assert len(set(groups)) == 5


def test_changes_of_different_external_ids_are_different_groups():
    head = b"PUT /v1/tickets/by-external-id/sap/%b HTTP/1.1\r\nAuthorization: Bearer k1\r\n\r\n"

    assert group_of(head % b"1") == group_of(head % b"1")
    assert group_of(head % b"1") != group_of(head % b"2")
