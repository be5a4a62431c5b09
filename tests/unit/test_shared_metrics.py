"""Metrics that processes count together: they add up, survive the process that counted, and never fail."""

import os
import resource
import shutil
import signal
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, values
from prometheus_client.multiprocess import MultiProcessCollector

from infrastructure.process.shared_metrics import SharedMetrics, free_place


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """Shared files for the metrics that this test makes."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    return SharedMetrics(str(tmp_path))


def counter():
    return Counter("requests_total", "Requests", ("route",), registry=None)


def counted(shared, route="/a"):
    """The value that Prometheus reads, or None."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(shared.folder))
    return registry.get_sample_value("requests_total", {"route": route})


def in_a_process(program):
    """Run it in a forked process, which is killed when it is done; fail if it raises."""
    child = os.fork()
    if child == 0:
        try:
            program()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def count_at(shared, place, times):
    shared.count_at(place)
    counter().labels("/a").inc(times)


def test_processes_count_together_and_a_successor_goes_on(shared):
    in_a_process(lambda: count_at(shared, 1, 2))
    in_a_process(lambda: count_at(shared, 2, 3))
    assert counted(shared) == 5
    files = len(list(shared.folder.iterdir()))

    in_a_process(lambda: count_at(shared, 1, 10))  # the successor of the first

    assert counted(shared) == 15
    assert len(list(shared.folder.iterdir())) == files


def test_a_place_is_given_to_one_living_process():
    assert [free_place(taken) for taken in ((), (1, 2), (2, 3))] == [1, 3, 1]


def test_only_the_process_that_made_the_folder_deletes_it(shared):
    in_a_process(shared.delete)
    assert shared.folder.exists()

    shared.delete()
    assert not shared.folder.exists()


def test_the_folder_of_a_killed_server_is_deleted_by_the_next(shared, tmp_path):
    def leave_a_folder():
        SharedMetrics(str(tmp_path / "other"))

    (tmp_path / "other").mkdir()
    in_a_process(leave_a_folder)
    (left,) = (tmp_path / "other").iterdir()

    SharedMetrics(str(tmp_path / "other"))
    SharedMetrics(str(tmp_path))

    assert not left.exists()
    assert shared.folder.exists(), "it belongs to this process, which lives"


def test_the_folder_of_a_server_of_an_earlier_version_is_left_alone(shared, tmp_path):
    """It has another kind of lock, and without its folder its workers would answer 500."""
    earlier = tmp_path / "ticketing-metrics-1wa153eo"
    earlier.mkdir()

    SharedMetrics(str(tmp_path))

    assert list(tmp_path.glob("ticketing-metrics-*")) == [earlier]  # it finds no folder of ours either


def test_a_process_counts_on_after_something_has_deleted_the_folder(shared):
    shared.delete()

    in_a_process(lambda: count_at(shared, 1, 2))

    assert counted(shared) == 2


def test_deleting_the_folder_of_a_process_that_counts_has_no_effect_on_it(shared):
    requests = counter().labels("/a")
    gauge = Gauge("lag", "Lag", multiprocess_mode="mostrecent", registry=None)

    def count_without_folder():
        shared.count_at(1)
        shutil.rmtree(shared.folder)
        requests.inc(2)
        counter().labels("/new").inc()
        gauge.set(3)

    in_a_process(count_without_folder)


def test_a_folder_that_a_process_has_made_anew_is_kept_by_the_next_server(shared, tmp_path):
    shutil.rmtree(shared.folder)
    shared.count_at(1)

    SharedMetrics(str(tmp_path))

    assert shared.folder.exists()


def test_an_error_while_counting_ends_the_counting_and_nothing_else(shared):
    requests = counter().labels("/a")
    requests._value._file.close()

    requests.inc()
    requests.inc()

    assert counted(shared) == 0


def test_a_fork_while_another_thread_counts_leaves_no_lock_behind(shared):
    requests, stop = counter().labels("/a"), threading.Event()

    def count():
        while not stop.is_set():
            requests.inc()

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(50):
            in_a_process(lambda: count_at(shared, 1, 1))
    finally:
        stop.set()
        thread.join()

    assert counted(shared) >= 50


def test_without_room_for_its_files_a_process_counts_nothing_and_does_not_fail(shared):
    def count_without_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))
        count_at(shared, 1, 2)

    in_a_process(lambda: count_at(shared, 2, 3))
    in_a_process(count_without_room)

    assert counted(shared) == 3
