"""Raw events to invoices through Dagster, all gates on, beside the reference. Put here: one measured run, and its set-up.

Measured: from the start of the first step to the end of the last, of the job `ingest` (gates; the log is empty) and the job
`close_month`, each run in process as `aforo bill` runs it, with Dagster's own records in PostgreSQL. Not measured: starting
Python and importing, PostgreSQL's start, loading the catalog, putting the raw events into the lake.

`python -m benchmarks.pipeline HOME EVENTS CUSTOMERS` measures once in a fresh process and prints JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.data import MONTH, TENANT, catalog, write_raw
from benchmarks.machine import peak_mib

ROOT = Path(__file__).parents[1]


def measure(folder: Path, events: int, customers: int, repeats: int, log: Any) -> dict[str, Any]:
    """Reference and pipeline in turn, each time in fresh processes: {"reference": [...], "pipeline": [...]}."""
    files = [str(file) for file in write_raw(folder, events, customers)]
    found: dict[str, Any] = {"events": events, "customers": customers, "reference": [], "pipeline": []}
    for number in range(1, repeats + 1):
        found["reference"].append(child("benchmarks.reference", str(folder), str(customers), *files))
        with world(folder, customers, files) as home:
            found["pipeline"].append(child("benchmarks.pipeline", str(home), str(events), str(customers)))
        reference, pipeline = found["reference"][-1], found["pipeline"][-1]
        log(
            f"{events:,} events, run {number} of {repeats}: reference {reference['seconds']:.1f} s, "
            f"pipeline {pipeline['seconds']:.1f} s"
        )
        assert reference["total"] == pipeline["total"], (reference["total"], pipeline["total"])
    return found


def child(module: str, *arguments: str) -> dict[str, Any]:
    """What a module prints as its last line, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def world(folder: Path, customers: int, files: list[str]) -> Iterator[Path]:
    """A data folder with raw events in the lake and a catalog in a fresh PostgreSQL; its addresses in the environment."""
    from stack.embedded import Postgres
    from stack.settings import memory_environment
    from tests import harness

    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    with harness.short_folder() as short, harness.valkey() as valkey:
        server = Postgres(short / "pg")
        with harness.running(server, short / "postgres.log"):
            server.create_database("bench")
            os.environ.update(
                AFORO_HOME=str(home),
                AFORO_DATABASE_URL=server.url("bench"),
                AFORO_REDIS_URL=valkey.url,
                AFORO_LAKE_URL=str(home / "lake"),
                **memory_environment(),
            )
            _fill(home, files, customers)
            yield home
    shutil.rmtree(home, ignore_errors=True)


def _fill(home: Path, files: list[str], customers: int) -> None:
    import polars as pl

    from domain.catalog.catalog import read_catalog
    from stack import dagster_home, schema
    from storage.catalog_service import apply_catalog
    from storage.database import session_scope
    from storage.lake import Lake

    url = os.environ["AFORO_DATABASE_URL"]
    schema.prepare(url)
    dagster_home.write(home / "dagster", code_port=0)
    with session_scope(url) as session:
        apply_catalog(session, read_catalog(catalog(customers)))
    cursor = Lake(str(home / "lake")).cursor("raw_events")
    for file in files:
        raw = pl.read_parquet(file)
        last = raw["raw_seq"].max()
        assert isinstance(last, int)
        cursor.append(raw, markers={"raw_seq": last})


def run() -> dict[str, Any]:
    """The two jobs in this process: seconds, seconds per step, peak memory in MiB, and the result to compare with."""
    from orchestration.definitions import defs
    from stack import billing

    defs.resolve_job_def("close_month")
    before = peak_mib()
    wall = time.perf_counter()
    taken = billing.ingest()
    report = billing.bill(MONTH, [TENANT])
    wall = time.perf_counter() - wall
    peak = peak_mib()
    seconds, steps = spent(taken, report)
    return {
        "seconds": seconds,
        "wall": wall,
        "steps": steps,
        "peak_mib": peak,
        "imports_mib": before,
        "total": str(round(sum(invoice["total"] for invoice in report.invoices), 2)),
        "invoices": len(report.invoices),
        "metered": report.rows["metered_events"],
    }


def spent(*reports: Any) -> tuple[float, dict[str, float]]:
    """Seconds from each run's first step to the end of its last one, added up; seconds of each step."""
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        spans = [_steps(instance, report.run_id) for report in reports]
    seconds = sum(max(e for _, e in found.values()) - min(s for s, _ in found.values()) for found in spans)
    return seconds, {name: end - start for found in spans for name, (start, end) in found.items()}


def _steps(instance: Any, run_id: str) -> dict[str, tuple[float, float]]:
    """Start and end of each step of a run, in epoch seconds."""
    started: dict[str, float] = {}
    found: dict[str, tuple[float, float]] = {}
    for record in instance.all_logs(run_id):
        event = record.dagster_event
        if event is None or event.step_key is None:
            continue
        if event.event_type_value == "STEP_START":
            started[event.step_key] = record.timestamp
        elif event.event_type_value == "STEP_SUCCESS":
            found[event.step_key] = (started[event.step_key], record.timestamp)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run()) + "\n")
