"""Which claimed deliveries are posted next, and how many at a time."""

from webhook_dispatcher.owners import Endpoint
from webhook_dispatcher.queue import FULL, Claim, Queue


def endpoint(endpoint_id):
    nothing = (None,) * 4
    return Endpoint(
        endpoint_id, "https://example.com", [], 0, 0, 0, "admin", "cli", *nothing, True, None, None, []
    )


def queue_of(*waiting, limit=40, limit_per_endpoint=2):
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

    assert ids(take_all(queue)) == ["a", "b", "c", "a", "c"]
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


def test_no_more_posts_than_places_begin():
    queue = queue_of(("a", 3), ("b", 1), ("c", 3), limit=2)

    assert ids(take_all(queue)) == ["a", "b"]


def test_twenty_webhooks_that_never_answer_leave_places_for_others():
    queue = queue_of(*((f"slow-{number}", 30) for number in range(20)), limit=200, limit_per_endpoint=10)
    take_all(queue)

    queue.add(Claim(1, "fast", "msg", 1, 0, None, None, False, b""), endpoint("fast"))

    assert ids(take_all(queue)) == ["fast"]


def test_slow_webhooks_get_no_place_and_no_claims_of_those_that_are_reserved():
    slow = [f"slow-{number}" for number in range(200)]
    queue = queue_of(*((each, 2) for each in slow), limit=200, limit_per_endpoint=10)
    for claim in take_all(queue):
        queue.end(claim, has_failed=False, seconds=2.0)
    for each in slow:
        queue.add(Claim(1, each, "msg", 1, 0, None, None, False, b""), endpoint(each))

    posted = take_all(queue)

    assert len(posted) == 150
    assert all(queue.busy()[each] >= FULL for each in slow)


def test_a_planned_post_begins_at_its_time():
    queue = Queue(40, 10)
    queue.add(Claim(1, "a", "msg", 1, 0, None, None, False, b"", 60.0), endpoint("a"))
    queue.add(Claim(2, "b", "msg", 1, 0, None, None, False, b"", 0.0), endpoint("b"))

    assert ids(take_all(queue)) == ["b"]
    assert queue.busy()["a"] == 1
