"""A month billed again because events came late. Put here: late events among some customers, and the two runs that take them in.

Measured like the first time (`benchmarks.pipeline`): the job `ingest` over the late events, finding whose they are, then `close_month`
for these customers; of both jobs from the start of the first step to the end of the last one. Afterwards, not measured, the whole month is billed
once more: it must come to the same.

`python -m benchmarks.rebill HOME EVENTS CUSTOMERS LATE EVERY` measures once in a fresh process and prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.data import MONTH, TENANT, raw_events, write_raw
from benchmarks.pipeline import child, spent, world


def measure(
    folder: Path, events: int, customers: int, late: int, every: int, repeats: int, log: Any
) -> list[dict[str, Any]]:
    """One result of `run` for each repetition, each in a fresh process over a fresh month."""
    files = [str(file) for file in write_raw(folder, events, customers)]
    found = []
    for number in range(1, repeats + 1):
        with world(folder, customers, files) as home:
            arguments = map(str, (home, events, customers, late, every))
            found.append(child("benchmarks.rebill", *arguments))
        first, again = found[-1]["first"], found[-1]["again"]
        log(
            f"{late:,} late events of {found[-1]['customers']:,} customers, run {number} of {repeats}: "
            f"first {first:.1f} s, again {again:.1f} s"
        )
    return found


def run(events: int, customers: int, late: int, every: int) -> dict[str, Any]:
    """Bill, let events come late, bill their customers: seconds of both, and of the steps of the second time."""
    from orchestration.definitions import defs
    from stack import billing
    from storage.lake import Lake

    defs.resolve_job_def("close_month")
    first, _ = spent(billing.ingest(), billing.bill(MONTH, [TENANT]))
    coming = raw_events(late, customers, first=events + 1, every=every)
    lake = Lake(os.environ["AFORO_LAKE_URL"])
    lake.cursor("raw_events").append(coming, markers={"raw_seq": events + late})
    taken = billing.ingest()
    start = time.perf_counter()
    tenants, whose = billing.unbilled(MONTH)
    looking = time.perf_counter() - start
    again, steps = spent(taken, billing.bill(MONTH, tenants, whose))
    some = _totals(lake)
    billing.bill(MONTH, [TENANT])
    assert _totals(lake) == some, "billing those whose events came late is not what billing all comes to"
    return {
        "first": first,
        "again": again + looking,
        "late": late,
        "customers": len(whose),
        "steps": steps | {"who_is_unbilled": looking},
    }


def _totals(lake: Any) -> Any:
    from storage.scope import Scope

    kept = ("number", "total", "content_hash", "input_hash")
    return lake.scan("invoices", Scope(MONTH)).sort("number").select(kept).collect().rows()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(*map(int, sys.argv[2:]))) + "\n")
