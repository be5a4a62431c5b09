"""Three minutes of the chaos rig (tests/chaos), and proof that its checker finds violations.

The second half plants each kind of violation into the evidence of the same run; the checker must detect it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.history_checker import CHECKS, ROUTES, check
from tests.chaos.planted_violations import PLANTED

pytestmark = pytest.mark.faults

MINUTES = "3"
SEED = "1"
LIMIT_SECONDS = 900
LEAST_FAULTS = 3  # on a very busy machine
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The output of one run, and its evidence."""
    folder = tmp_path_factory.mktemp("chaos")
    options = [
        "--kind",
        "separate",
        "--clients",
        "2",
        "--bulk-clients",
        "1",
        "--evidence",
        folder / "evidence",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seed", SEED, "--minutes", MINUTES, *options],
        cwd=ROOT,
        env={**os.environ, "CHAOS_RESULTS": str(folder / "results.jsonl")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    print(done.stdout)
    assert done.returncode in (0, 1), done.stdout
    return done.stdout, pickle.loads((folder / "evidence").read_bytes())


def test_faults_lose_double_and_disorder_nothing(run):
    output, evidence = run
    outcomes = Counter(operation.outcome for operation in evidence.operations)

    assert "VIOLATION" not in output, output
    assert check(evidence) == {}
    assert output.count(", recovery ") >= LEAST_FAULTS
    assert outcomes["unknown"] > 0, "no fault met a request: this run proves little"
    assert outcomes["ok"] > outcomes["fail"] > 0


@pytest.fixture(scope="module")
def evidence(run):
    """The evidence into which violations are planted, as if the API had never been started again."""
    ok = Counter(one.kind for one in run[1].operations if one.outcome == "ok")
    return run[1]._replace(counted={route: ok[kind] for kind, route in ROUTES.items()})


@pytest.mark.parametrize(("plant", "name"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_violation_is_detected(evidence, plant, name):
    assert list(CHECKS[name](evidence)) == []
    assert list(CHECKS[name](plant(evidence))) != []


def test_every_check_has_a_planted_violation():
    assert {name for _, name in PLANTED} == CHECKS.keys()
