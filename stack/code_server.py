"""The process that holds our Dagster definitions and launches runs. Keep out: the definitions (orchestration).

Before it serves, it reports runs as failed whose processes died with the last code server: nobody else can know, and
until someone says so they would take up places in the run queue for ever.
"""

from __future__ import annotations

import runpy
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance

LAUNCHED_BY_CODE_SERVER = ".dagster/grpc_info"
"""Tag Dagster's default launcher puts on a run; runs executed inside another process (`aforo bill`) do not have it."""


def fail_orphaned_runs(instance: DagsterInstance) -> list[str]:
    """Report the runs of a dead code server as failed; returns their ids. Call only while no code server runs."""
    from dagster import DagsterRunStatus, RunsFilter

    started = RunsFilter(
        statuses=[DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING],
    )
    orphans = [run for run in instance.get_runs(filters=started) if LAUNCHED_BY_CODE_SERVER in run.tags]
    for run in orphans:
        instance.report_run_failed(
            run, "The process of this run died together with the code server; run it again."
        )
    return [run.run_id for run in orphans]


def main() -> None:
    """Serve `orchestration.definitions` on the port given as the only argument."""
    from dagster import DagsterInstance

    port = sys.argv[1]
    with DagsterInstance.get() as instance:
        fail_orphaned_runs(instance)
    target = ["--module-name", "orchestration.definitions", "--attribute", "defs", "--location-name", "aforo"]
    sys.argv = ["dagster", "api", "grpc", "--host", "127.0.0.1", "--port", port, *target]
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
