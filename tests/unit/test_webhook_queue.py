"""Which claimed deliveries are posted next, and how many at a time."""

from webhook_dispatcher.owners import Endpoint
from webhook_dispatcher.queue import FULL, Claim, Queue


def endpoint(endpoint_id):
    nothing = (None,) * 4
    return Endpoint(
        endpoint_id, "https://example.com", [], 0, 0, 0, "admin", "cli", *nothing, True, None, None, []
    )


def queue_of(*waiting, limit=4, limit_per_endpoint=2):
    """A queue with so many deliveries of each webhook: pairs of id and number."""
    queue = Queue(limit, limit_per_endpoint)
    for endpoint_id, number in waiting:
        for step in range(number):
            claim = Claim(hash((endpoint_id, step)), endpoint_id, "msg", 1, 0, None, None, False, b"")
            queue.add(claim, endpoint(endpoint_id))
    return queue


def take_all(queue):
    items = iter(queue.take, None)
    return [item.claim for item in items]


def ids(claims):
    return [claim.endpoint_id for claim in claims]


def test_webhooks_take_turns_up_to_the_limits_for_each_and_in_total():
    queue = queue_of(("a", 3), ("b", 1), ("c", 3))

    assert ids(take_all(queue)) == ["a", "b", "c", "a"]
    assert queue.busy() == {"a": 3, "b": 1, "c": 3}


def test_the_end_of_a_post_begins_the_next_one_of_a_webhook_below_its_limit():
    queue = queue_of(("a", 4))
    first, _ = take_all(queue)

    queue.end(first, has_failed=False)

    assert len(take_all(queue)) == 1
    assert queue.busy() == {"a": 3}


def test_after_a_failure_nothing_waits_and_nothing_is_claimed_until_it_is_stored():
    queue = queue_of(("a", 4), ("b", 4))
    failed = take_all(queue)[0]

    queue.end(failed, has_failed=True)

    assert ids(queue.take_stale()) == ["a", "a"]
    assert ids(take_all(queue)) == []
    assert queue.busy() == {"a": FULL + 1, "b": 4}
    queue.note_stored("a")
    assert queue.busy() == {"a": 1, "b": 4}
