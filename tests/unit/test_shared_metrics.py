"""Metrics shared by processes: counts add up, outlive the process that counted, and never raise."""

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
    """The shared files for the metrics that a test creates."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    return SharedMetrics(str(tmp_path))


def counter():
    return Counter("requests_total", "Requests", ("route",), registry=None)


def read_count(shared, route="/a"):
    """The value that Prometheus reads, or None."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(shared.folder))
    return registry.get_sample_value("requests_total", {"route": route})


def run_in_fork(program):
    """Run `program` in a fork, which kills itself afterwards. Fails if `program` raises."""
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


def test_counts_of_processes_add_up_and_a_successor_continues_them(shared):
    run_in_fork(lambda: count_at(shared, 1, 2))
    run_in_fork(lambda: count_at(shared, 2, 3))
    assert read_count(shared) == 5
    files = len(list(shared.folder.iterdir()))

    run_in_fork(lambda: count_at(shared, 1, 10))  # the successor of the first

    assert read_count(shared) == 15
    assert len(list(shared.folder.iterdir())) == files


def test_a_process_gets_the_lowest_free_place():
    assert [free_place(taken) for taken in ((), (1, 2), (2, 3))] == [1, 3, 1]


def test_only_the_process_that_made_the_folder_deletes_it(shared):
    run_in_fork(shared.delete)
    assert shared.folder.exists()

    shared.delete()
    assert not shared.folder.exists()


def test_the_folder_of_a_killed_server_is_deleted_by_the_next_server(shared, tmp_path):
    def leave_a_folder():
        SharedMetrics(str(tmp_path / "other"))

    (tmp_path / "other").mkdir()
    run_in_fork(leave_a_folder)
    (left,) = (tmp_path / "other").iterdir()

    SharedMetrics(str(tmp_path / "other"))
    SharedMetrics(str(tmp_path))

    assert not left.exists()
    assert shared.folder.exists(), "it belongs to this process, which still runs"


def test_the_folder_of_a_server_of_an_earlier_version_is_left_alone(shared, tmp_path):
    """It locks its folder in another way, and its workers would answer 500 without the folder."""
    earlier = tmp_path / "ticketing-metrics-1wa153eo"
    earlier.mkdir()

    SharedMetrics(str(tmp_path))

    assert list(tmp_path.glob("ticketing-metrics-*")) == [earlier]  # and it does not find ours


def test_a_process_can_count_after_the_folder_was_deleted(shared):
    shared.delete()

    run_in_fork(lambda: count_at(shared, 1, 2))

    assert read_count(shared) == 2


def test_a_counting_process_does_not_fail_when_the_folder_is_deleted(shared):
    requests = counter().labels("/a")
    gauge = Gauge("lag", "Lag", multiprocess_mode="mostrecent", registry=None)

    def count_without_folder():
        shared.count_at(1)
        shutil.rmtree(shared.folder)
        requests.inc(2)
        counter().labels("/new").inc()
        gauge.set(3)

    run_in_fork(count_without_folder)


def test_the_next_server_does_not_delete_a_folder_that_a_process_has_recreated(shared, tmp_path):
    shutil.rmtree(shared.folder)
    shared.count_at(1)

    SharedMetrics(str(tmp_path))

    assert shared.folder.exists()


def test_an_error_while_counting_stops_only_the_counting(shared):
    requests = counter().labels("/a")
    requests._value._file.close()

    requests.inc()
    requests.inc()

    assert read_count(shared) == 0


def test_a_fork_while_another_thread_counts_inherits_no_held_lock(shared):
    requests, stop = counter().labels("/a"), threading.Event()

    def count():
        while not stop.is_set():
            requests.inc()

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(50):
            run_in_fork(lambda: count_at(shared, 1, 1))
    finally:
        stop.set()
        thread.join()

    assert read_count(shared) >= 50


def test_a_process_without_space_for_its_files_counts_nothing_and_does_not_fail(shared):
    def count_without_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))
        count_at(shared, 1, 2)

    run_in_fork(lambda: count_at(shared, 2, 3))
    run_in_fork(count_without_space)

    assert read_count(shared) == 3
