"""The alert rules, the dashboard and the runbook agree with each other and with a running API."""

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import typer
import yaml

from cli.main import app
from tests.support.commands import environment
from tests.support.forks import TicketingProcess
from tests.support.promtool import check_expressions, run_promtool
from tests.support.server import free_port, running_api
from tests.support.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
ALERTS = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
NAMES = [alert["alert"] for alert in ALERTS]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
PANELS = DASHBOARD["panels"]
SHOWN = [target["expr"] for panel in PANELS for target in panel["targets"]]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))


def test_promtool_accepts_the_rules():
    assert f"{len(ALERTS)} rules found" in run_promtool("check", "rules", RULES)


def test_each_alert_fires_after_its_time_and_none_when_nothing_is_wrong():
    run_promtool("test", "rules", RULES.with_name("alerts_test.yml"))


def test_each_alert_has_a_test():
    cases = yaml.safe_load(RULES.with_name("alerts_test.yml").read_text())["tests"]

    names = [case["name"] for case in cases if " without " not in case["name"]]
    assert names == [*NAMES, "nothing is wrong"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_urgent_it_is_and_where_to_read_on(alert):
    notes = alert["annotations"]

    assert alert["for"]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"


def test_the_runbook_has_one_section_for_each_alert_in_the_same_order():
    assert list(SECTIONS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_section_says_what_it_means_what_to_look_at_what_to_do_and_when_it_is_over(name):
    parts = re.findall(r"^\*\*([\w ]+)\.?\*\*", SECTIONS[name], re.MULTILINE)
    looked_at = SECTIONS[name].partition("**Look at.**")[2].partition("**Do.**")[0]

    assert parts == ["Meaning", "Look at", "Do", "Over"]
    assert "`" in looked_at, "no command"


def test_the_commands_of_the_runbook_exist():
    commands = re.findall(r"(?:`|^)ticketing\s([^`\n]+)", RUNBOOK, re.MULTILINE)
    assert len(commands) > 20
    for given in commands:
        command = typer.main.get_command(app)
        words = given.split()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        options = {word for word in words if not word.isdigit()}
        assert isinstance(command, typer.core.TyperCommand) or not words, given
        assert options <= known, given


def test_postgresql_runs_the_statements_of_the_runbook(conn):
    statements = re.findall(r"^```sql\n(.*?)^```$", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert len(statements) > 5
    for statement in statements:
        conn.execute(statement).fetchall()


def test_the_panels_of_the_dashboard_use_its_data_source_and_do_not_overlap():
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    (variable,) = DASHBOARD["templating"]["list"]

    assert (variable["name"], variable["type"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_promtool_accepts_the_expressions_of_the_dashboard(tmp_path):
    expressions = [expr.replace("$__rate_interval", "5m") for expr in SHOWN]

    assert f"{len(SHOWN)} rules found" in check_expressions(expressions, tmp_path)


def read_metrics_of_dispatcher(database, home):
    """The names of the metrics, also of those that have no value yet."""
    port = free_port()
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(home), METRICS_PORT=str(port))
    process = TicketingProcess("webhook-dispatcher", environ=environ)
    try:
        url = f"http://127.0.0.1:{port}/metrics"
        text = eventually(lambda: answer_with("ticketing_webhook_attempts_total", url))
    finally:
        process.terminate()
        process.wait()
    names = re.findall(r"^# TYPE (\w+) (\w+)", text, re.MULTILINE)
    return {f"{name}_bucket" if kind == "histogram" else name for name, kind in names}


def answer_with(name, url):
    """The text if it contains the name; the process is still starting otherwise."""
    with suppress(requests.ConnectionError):
        text = requests.get(url, timeout=10).text
        return text if name in text else None


def test_a_running_system_exports_every_metric_of_the_rules_and_the_dashboard(database, tmp_path):
    port = free_port()
    kafka = f"127.0.0.1:{free_port()}"  # the metrics of the relay need the setting, not the server
    with running_api(database, workers=1, METRICS_PORT=str(port), KAFKA_BOOTSTRAP_SERVERS=kafka) as url:
        requests.get(f"{url}/health/live", timeout=10)
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    exported = set(re.findall(r"^(ticketing_\w+)", text, re.MULTILINE))
    used = [
        set(re.findall(r"\bticketing_\w+", expr)) for expr in (*(alert["expr"] for alert in ALERTS), *SHOWN)
    ]

    assert set().union(*used) - exported - read_metrics_of_dispatcher(database, tmp_path) == set()
    assert {"ticketing_projector_lag_seconds", "ticketing_http_request_seconds_bucket"} <= exported
