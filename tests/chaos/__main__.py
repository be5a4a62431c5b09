"""`python -m tests.chaos`: run the rig, or print the sum of all runs.

As root the rig runs in its own namespaces: its disks are not seen outside, and every process ends with it.
"""

from __future__ import annotations

import argparse
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.faults import kinds_of_faults, schedule
from tests.chaos.results import RESULTS, append, read, table
from tests.chaos.rig import Rig, Scale, Window
from tests.support.commands import MASTER_KEY

INSIDE = "CHAOS_INSIDE"
LAST_CHECK_SHARE = 0.2  # of the minutes, for the check of the whole run


def main() -> None:
    options = _parse()
    if options.action == "report":
        print(table(read()))
        return
    _enter_namespaces()
    os.environ["MASTER_KEY"] = MASTER_KEY
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup, all processes would ignore it
    sys.exit(_run(options))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("action", nargs="?", choices=("run", "report"), default="run")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the load and of the faults")
    parser.add_argument("--minutes", type=float, default=40.0, help="the length of the run")
    parser.add_argument("--faults", type=int, default=10_000, help="the most faults")
    parser.add_argument("--only", default="", help="only faults whose name contains this text")
    parser.add_argument(
        "--kind", choices=("separate", "up"), help="how the processes run; by the seed if left out"
    )
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--bulk-clients", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.1, help="the mean pause of a client in seconds")
    parser.add_argument("--evidence", type=Path, help="a file for the evidence of the whole run")
    return parser.parse_args()


def _enter_namespaces() -> None:
    """As root: start again in new mount and process namespaces, in which a shell reaps orphans. Does nothing
    where that is not allowed, as in some containers."""
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None or os.environ.get(INSIDE):
        return
    options = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([unshare, *options, "true"], capture_output=True, check=False).returncode != 0:
        return
    os.environ[INSIDE] = "1"
    shell = ["sh", "-c", '"$@"; exit $?', "sh"]
    os.execv(unshare, [unshare, *options, *shell, sys.executable, "-m", "tests.chaos", *sys.argv[1:]])


def _run(options: argparse.Namespace) -> int:
    """Run windows until the time is over. Returns the exit code: 1 after a violation."""
    kind = options.kind or random.Random(options.seed).choice(("separate", "separate", "up"))
    began = datetime.now(UTC).isoformat(timespec="seconds")
    run = {"began": began, "seed": options.seed, "kind": kind, "is_whole": False}
    scale = Scale(options.clients, options.pause, options.bulk_clients)
    violations = faults = 0
    with Rig(kind, options.seed, scale) as rig:
        found, left = kinds_of_faults(rig.system)
        for one in left:
            print(f"left out: {one.name}: {one.reason}", flush=True)
        chosen = [fault for fault in found if options.only in fault.name]
        print(f"seed {options.seed}, {kind}, {len(chosen)} kinds of faults, results in {RESULTS}", flush=True)
        end = time.monotonic() + options.minutes * 60 * (1 - LAST_CHECK_SHARE)
        for fault in schedule(chosen, random.Random(f"faults {options.seed}")):
            if faults == options.faults or time.monotonic() > end:
                break
            window = rig.run_window(fault)
            faults += 1
            violations += _report(run, window)
        evidence, wrong = rig.check_everything()
        violations += _report(run | {"is_whole": True}, Window("the whole run", wrong))
    if options.evidence:
        options.evidence.write_bytes(pickle.dumps(evidence))
    print(f"{faults} faults, {violations} violations", flush=True)
    return 1 if violations else 0


def _report(run: dict[str, object], window: Window) -> int:
    """Store and print the outcome. Returns the number of violations."""
    append(run, window)
    seconds, last = window.recovery_seconds, window.recovered_last
    recovery = "no recovery" if seconds is None else f"recovery {seconds:.1f} s ({last} last)"
    if run["is_whole"]:
        print("the whole run is checked", flush=True)
    else:
        print(
            f"{window.fault}: {window.acknowledged} writes, {window.unknown} unknown at first, {recovery},"
            f" {window.seconds:.1f} s",
            flush=True,
        )
    for name, texts in window.violations.items():
        for text in texts[:5]:
            print(f"  VIOLATION {name}: {text}", flush=True)
    return sum(map(len, window.violations.values()))


if __name__ == "__main__":
    main()
