"""A scenario of a million events through all ten stages. Put here: playing it, timed part by part, in a fresh process.

Measured: from the read scenario to its outcome: making the events, database and lake, gates, bill, invoices, every table's suite, reading
it all back. Not measured: starting Python and importing, PostgreSQL's start, the template of the first run.

`python -m benchmarks.sandbox SERVER` plays it once and prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCENARIO, SMALL = (
    ROOT / "examples" / "sandbox" / f"{name}.yaml" for name in ("a-million-events", "flat-rate")
)


def measure(repeats: int, log: Any) -> dict[str, list[float]]:
    """Seconds by part, each `repeats` times."""
    from stack.sandbox_server import sandbox_server
    from tests import harness

    found: dict[str, list[float]] = {}
    with harness.short_folder() as home, sandbox_server(home) as server:
        for number in range(1, repeats + 1):
            once = _child(server)
            for name, seconds in once.items():
                found.setdefault(name, []).append(seconds)
            log(f"sandbox, run {number} of {repeats}: {once['a million events']:.1f} s")
    return found


def _child(server: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.sandbox", server]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"benchmarks.sandbox: {done.stderr[-3000:]}")
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return times


def run(server: str) -> dict[str, float]:
    """Seconds of the scenario, and of those the generator and the month's bill."""
    from sandbox import month, receiving
    from sandbox import steps_of_bills as bills
    from sandbox.play import run as play
    from sandbox.scenario import load

    play(load(SMALL), server)
    times: dict[str, float] = {}
    bills.bill_month = _timed("of that: bill, ten stages and all gates", month.bill, times)
    receiving.generate = _timed("of that: making the events", receiving.generate, times)
    scenario = load(SCENARIO)
    started = time.perf_counter()
    outcome = play(scenario, server)
    times["a million events"] = time.perf_counter() - started
    assert outcome.met, outcome.unmet
    return dict(sorted(times.items()))


def _timed(name: str, call: Any, times: dict[str, float]) -> Any:
    def timed(*arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            times[name] = time.perf_counter() - started

    return timed


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(sys.argv[1])) + "\n")
