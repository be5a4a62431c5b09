"""Turns skipped tests into a failed run where nothing may be skipped (.ci/run sets the variable)."""

from __future__ import annotations

import os

import pytest


class _Skips:
    """Collects the tests that were skipped, and the reasons they gave."""

    def __init__(self) -> None:
        self.reports: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.reports.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.reports.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.reports and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.reports:
            terminalreporter.section("skipped, and nothing may be skipped", red=True)
            for line in self.reports:
                terminalreporter.line(line)


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("TICKETING_FAIL_ON_SKIP") == "1":
        config.pluginmanager.register(_Skips(), "fail-on-skip")
