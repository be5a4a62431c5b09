"""The load of the upgrade drill tells failed requests from those that may be refused, and for how long."""

from tests.chaos.operations import Operation
from tests.upgrade.load import failed, longest_refusal_seconds, per_second, slowest_seconds
from tests.upgrade.versions import newest_tag


def answered(at, status, retry_after=None, *, seconds=0.1):
    invoked_at = at - seconds
    return Operation(1, "k", "list", None, "k", None, invoked_at, at, "ok", status, None, retry_after)


def test_no_answer_a_refusal_without_retry_after_and_other_server_errors_are_failures():
    answers = [
        answered(0.1, 200),
        answered(1.0, 503, "1"),
        answered(2.0, 503),
        answered(3.0, 500, "1"),
        answered(4.0, None),
    ]

    assert failed(answers) == ["k: 503 after 2.0 s", "k: 500 after 3.0 s", "k: no answer after 4.0 s"]
    assert failed([]) == []


def test_the_longest_refusal_is_measured_from_its_first_to_its_last_answer():
    answers = [answered(at, 503, "1") for at in (1.0, 1.5, 2.0, 9.0, 9.2)]

    assert longest_refusal_seconds([*answers, answered(5.0, 200)]) == 1.0
    assert longest_refusal_seconds([]) == 0.0


def test_rate_and_slowest_answer_are_those_of_all_attempts():
    answers = [answered(1.0, 200, seconds=1.0), answered(4.0, 503, "1", seconds=3.0), answered(2.0, 200)]

    assert (per_second(answers), slowest_seconds(answers)) == (0.75, 3.0)


def test_a_tag_is_found_only_if_its_files_can_be_read(monkeypatch, tmp_path):
    monkeypatch.setattr("tests.upgrade.versions.ROOT", tmp_path)

    assert newest_tag() is None
