"""Options of a test run: fail on skipped tests (TICKETING_FAIL_ON_SKIP=1), print durations (--times)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from functools import partial

import pytest


class _FailOnSkip:
    """Fails the run when a test was skipped, and lists the skipped tests with their reasons."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.skipped:
            terminalreporter.section("skipped tests fail this run", red=True)
            for line in self.skipped:
                terminalreporter.line(line)


class _Times:
    """Prints the number and the summed duration of the tests, by folder and for the slowest files."""

    SLOWEST_FILES = 15

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.tests: defaultdict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        for name in (file, file.rpartition("/")[0]):
            self.seconds[name] += report.duration
            self.tests[name].add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("seconds of work (setup, test and teardown; all workers together)")
        slowest = sorted(self.seconds, key=lambda name: -self.seconds[name])
        folders = sorted(name for name in slowest if not name.endswith(".py"))
        files = [name for name in slowest if name.endswith(".py")][: self.SLOWEST_FILES]
        for name in (*folders, *files):
            line = f"{self.seconds[name]:8.1f} s {len(self.tests[name]):6} tests  {name}"
            terminalreporter.line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", action="store_true", help="print the number and duration of tests by folder")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and "PYTEST_DEBUG_TEMPROOT" not in os.environ:
        _use_own_temporary_folder(config)
    if os.environ.get("TICKETING_FAIL_ON_SKIP") == "1":
        config.pluginmanager.register(_FailOnSkip(), "fail-on-skip")
    if config.getoption("--times"):
        config.pluginmanager.register(_Times(), "times")


def _use_own_temporary_folder(config: pytest.Config) -> None:
    """Use another folder for temporary files than other runs on the machine.

    When tests run as root, PostgreSQL runs under another account, which needs access to the folders above its
    data. Each start of pytest removes that access from the default folder, which all runs share.
    """
    folder = tempfile.mkdtemp(prefix="t-")  # short: the paths of Unix sockets are limited to 107 bytes
    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
    config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
