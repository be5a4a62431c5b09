"""The parts of `make bench` can be imported, and what they compute is right. Nothing is timed here."""

import json
from math import comb, factorial

import pytest

from benchmarks.__main__ import PARTS, lock_home
from benchmarks.comparison import Comparison, as_report, judge
from benchmarks.costs import CLIENT_NUMBERS, OPERATIONS
from benchmarks.document import fill
from benchmarks.growth_report import is_missed
from benchmarks.other_load import withhold_verdicts
from benchmarks.queueing import bound_rate, solve_rate
from benchmarks.reads import Target
from benchmarks.renames import Observed, is_mixed
from benchmarks.renames import make_report as make_renames_report
from benchmarks.report import Report, Table, as_markdown, write
from benchmarks.simulation import make_report
from benchmarks.sizing import COMMENTS, EVENTS, GETS, LISTS
from benchmarks.sizing_report import (
    DAYS,
    HOURS,
    KAFKA_COPIES,
    LOAD,
    PEAK,
    RETENTION_MONTHS,
    Measured,
    compute_need,
)

PROCESSORS = 2


def test_every_part_of_the_benchmarks_can_be_imported():
    assert all(callable(measure) for measure in PARTS.values())


def test_a_second_run_is_refused_because_it_would_replace_the_databases_of_the_first(tmp_path):
    with lock_home(tmp_path), pytest.raises(SystemExit, match="Another run"), lock_home(tmp_path):
        pass
    with lock_home(tmp_path):
        pass


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [([10.0, 12.0], "reached"), ([8.0, 9.9], "missed"), ([9.0, 56.0, 57.0], "undecided")],
)
def test_a_target_inside_the_spread_of_the_rounds_is_not_decided_by_their_median(ratios, verdict):
    assert judge(ratios, 10.0) == verdict


def test_a_run_on_a_busy_machine_gives_no_verdicts():
    table = Table("Ratios", ("operation", "target"), [["create", "10, reached"], ["get one", "20, missed"]])
    report = Report(tables=[table], notes=["Memory: reached"])

    busy = withhold_verdicts(report, [0.0, 1.9])
    idle = withhold_verdicts(report, [0.0, 0.1])

    assert [row[1] for row in busy.tables[0].rows] == ["10, not judged", "20, not judged"]
    assert busy.notes[0] == "Memory: not judged"
    assert idle.tables == [table]


def test_a_stale_list_is_wrong_on_a_busy_machine_too():
    observed = Observed(seconds=[0.1, 0.1], lists=2, stale=1)
    report = withhold_verdicts(make_renames_report(10, {"property": observed}, {"property": 1}), [1.9])

    assert "1 of 2, wrong" in report.tables[0].rows[0]


@pytest.mark.parametrize(
    ("target", "missed"),
    [
        (Target(growth=1.5), True),  # 4 -> 8 ms
        (Target(growth=2.0), False),
        (Target(ms=7.9), True),
        (Target(ms=8.0), False),
        (Target(of_first_page=5.0), False),  # the first page takes 2 ms
        (Target(of_first_page=3.9), True),
    ],
)
def test_a_read_misses_its_target_by_growth_or_time_or_multiple_of_the_first_page(target, missed):
    assert is_missed(target, first=4.0, last=8.0, front=2.0) is missed


def solve_machine_repairman(clients, demand, delay):
    """The rate in closed form, from the stationary distribution of the M/M/m model with a finite source."""
    weights = []
    for count in range(clients + 1):
        weight = comb(clients, count) * factorial(count) * (demand / delay) ** count
        for position in range(1, count + 1):
            weight /= min(position, PROCESSORS)
        weights.append(weight)
    busy = sum(min(count, PROCESSORS) * weight for count, weight in enumerate(weights))
    return busy / sum(weights) / demand


@pytest.mark.parametrize("clients", [1, 2, 3, 8, 16])
def test_the_predicted_rate_is_that_of_the_closed_form_and_below_the_bound(clients):
    rate = solve_rate(clients, 0.003, 0.005, PROCESSORS)

    assert rate == pytest.approx(solve_machine_repairman(clients, 0.003, 0.005))
    assert rate <= bound_rate(clients, 0.003, 0.005, PROCESSORS) * (1 + 1e-9)


def made_up_costs():
    rows = [{"clients": n, "rate": 100.0 * n, "ms": {"api": 2.0, "projector": 0.5}} for n in CLIENT_NUMBERS]
    operations = dict.fromkeys(OPERATIONS, rows)
    mix = [{**row, "rate": 10.0 * row["clients"]} for row in rows]  # its own delay would give another bound
    return {"processors": PROCESSORS, "operations": {**operations, "mix": mix}, "other_load": [0.0]}


def test_the_simulation_compares_only_predictions_that_do_not_use_their_own_measurement():
    shown = [row[0] for row in make_report(made_up_costs(), times=10).tables[0].rows]

    assert not {"create, 1 clients", "create, 8 clients"} & set(shown)
    assert {"create, 2 clients", "create, 16 clients", "mix, 8 clients"} <= set(shown)


def test_no_prediction_is_above_its_bound():
    rows = make_report(made_up_costs(), times=10).tables[0].rows

    assert [row[0] for row in rows if float(row[2]) > float(row[1])] == []


def test_the_simulation_says_when_the_costs_were_measured_on_a_busy_machine():
    idle, busy = ({**made_up_costs(), "other_load": [0.0, load]} for load in (0.1, 2.0))

    assert len(make_report(busy, times=10).notes) == len(make_report(idle, times=10).notes) + 1


def test_a_page_with_two_names_of_one_person_is_mixed():
    old, new = ({"property": {"id": "a", "name": "A"}, "requester": {"id": "b", "name": n}} for n in "BC")

    assert is_mixed([old, new])
    assert not is_mixed([old, old])


def test_a_report_is_written_and_put_at_its_place_in_the_document(tmp_path):
    one = Comparison(
        name="create",
        contender="ours",
        baseline="theirs",
        target=2.0,
        contender_rates=[30.0, 50.0],
        baseline_rates=[10.0, 10.0],
    )
    report = as_report([one], clients=8, notes=["A note."])
    write(tmp_path, "peers", report, seconds=2.0)

    text = "<!-- begin peers -->\nold\n<!-- end peers -->\n<!-- begin growth -->\nkept\n<!-- end growth -->"
    filled = fill(text, tmp_path, tmp_path / "plots")

    assert "| create | ours / theirs | 40 | 10 | 4.00 | 3.00 | 5.00 | 2, reached |" in as_markdown(report)
    assert as_markdown(report) in filled
    assert "old" not in filled
    assert "kept" in filled
    assert json.loads((tmp_path / "peers.json").read_text())["comparisons"][0]["ratios"] == [3.0, 5.0]


def measured_sizing(**values):
    defaults = {
        "lives": 10,
        "requests": 48,
        "seconds": 1.0,
        "disk": {
            "event log": 4_000.0,
            "search": 1_000.0,
            "webhook deliveries": 500.0,
            "Kafka, one copy": 2_000.0,
        },
        "processor": {"api": 0.5, "projector": 0.1, "session of ticketing-api": 0.2, "load generator": 9.0},
        "idle": {"api": 0.01, "relay": 0.02, "PostgreSQL, background": 0.03},
        "memory": {"api": 2e8, "notary": 5e7, "PostgreSQL": 3e8},
    }
    return Measured(**defaults | values)


def test_sizes_grow_with_the_tickets_and_contain_what_processes_need_when_idle():
    least, most = (compute_need(measured_sizing(), monthly) for monthly in (1_000, 100_000))
    per_second = 100_000 / (DAYS * HOURS * 3_600) * PEAK

    assert most.processors == {
        "api": pytest.approx((0.01 + per_second * 0.5) / LOAD),
        "followers": pytest.approx((0.02 + per_second * 0.1) / LOAD),
        "PostgreSQL": pytest.approx((0.03 + per_second * 0.2) / LOAD),
    }
    assert most.requests_per_second == pytest.approx(per_second * 48)
    assert most.disk_year == pytest.approx(100 * least.disk_year)


def test_disk_contains_a_second_copy_of_the_read_tables_and_deliveries_only_while_they_are_kept():
    need = compute_need(measured_sizing(), 1_000)

    assert need.disk_year == 12_000 * (4_000 + 1_000 + 1_000) + RETENTION_MONTHS * 1_000 * 500
    assert need.kafka_year == 12_000 * KAFKA_COPIES * 2_000


def test_the_life_of_a_ticket_has_the_requests_that_the_report_names():
    assert (EVENTS, COMMENTS, GETS + LISTS) == (8, 4, 40)
    assert GETS % EVENTS == LISTS % EVENTS == 0
