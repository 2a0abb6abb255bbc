"""Runs of the lineage from the command line. Put here: executing Dagster jobs in this process, on the stack's own instance, so
that they appear in its UI. Keep out: printing (stack/commands), what the jobs do (orchestration)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import PermanentFailure
from stack import dagster_home, schema
from stack.console import Exit
from stack.settings import connected, use_running_stack

if TYPE_CHECKING:
    from dagster import DagsterInstance, ExecuteInProcessResult

Progress = Callable[[str], None]


class BadPeriod(PermanentFailure):
    """Not a month."""

    code = "BAD_PERIOD"
    exit_code = Exit.USAGE

    def __init__(self, period: str) -> None:
        super().__init__(
            f"PERIOD: {period!r} is not a month from 2020-01 on; write it as YYYY-MM, for example 2026-03"
        )


class RunFailed(PermanentFailure):
    """A run did not finish."""

    code = "RUN_FAILED"

    def __init__(self, job: str, run_id: str, reasons: list[str]) -> None:
        super().__init__(
            f"{job} (run {run_id}) failed: " + ("; ".join(reasons) or "see the run in the Dagster UI")
        )


class GateStopped(RunFailed):
    """A quality gate stopped the run."""

    code = "GATE_STOPPED"
    exit_code = Exit.REFUSED


@dataclass
class Report:
    """What a run did: its id, rows per table, and what is held and why."""

    job: str
    run_id: str
    rows: dict[str, int] = field(default_factory=dict)
    held: list[dict[str, str]] = field(default_factory=list)
    invoices: list[dict[str, Any]] = field(default_factory=list)


def ingest(progress: Progress | None = None) -> Report:
    """Drain the event log and pass what is new through the gates. Raises GateStopped, RunFailed."""
    use_running_stack()
    result = _execute("ingest", progress=progress)
    added = {
        event.asset_key.path[-1]: _rows(event, "rows_added")
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    return Report("ingest", result.run_id, added)


def bill(
    period: str,
    tenants: list[str] | None = None,
    customers: list[str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Bill a month for all, or for these tenants and customers; their earlier result is replaced, no one else's is touched.

    Raises BadPeriod, GateStopped, RunFailed.
    """
    _require_month(period)
    addresses = use_running_stack()
    scope = {"tenants": tenants or [], "customers": customers or []}
    config = {"resources": {"scope": {"config": scope}}}
    result = _execute("close_month", partition=period, config=config, progress=progress)
    rows = {
        event.asset_key.path[-1]: _rows(event, "dagster/row_count")
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    return _outcome(Report("close_month", result.run_id, rows), addresses.lake_url, period, scope)


def unbilled(period: str, wanted: list[str] | None = None) -> tuple[list[str], list[str]]:
    """(tenants, customers) with usage that their bills of the month do not know; see `storage.unbilled_usage`. wanted: only of
    these tenants. Raises BadPeriod, NothingBilled."""
    from storage.lake import Lake
    from storage.replay import NothingBilled
    from storage.scope import Scope
    from storage.unbilled_usage import WHO, unbilled_customers

    _require_month(period)
    lake, scope = Lake(use_running_stack().lake_url), Scope(period, tuple(wanted or ()))
    if lake.scan("billing_terms", scope).head(1).collect().is_empty():
        raise NothingBilled(scope)
    found = unbilled_customers(lake, scope)
    tenants, customers = (found[name].unique().sort().to_list() for name in WHO)
    return tenants, customers


def dry_run(
    period: str, tenants: list[str] | None = None, customers: list[str] | None = None
) -> dict[str, Any]:
    """A month as it would be billed now, as JSON; nothing is written anywhere. Raises BadPeriod."""
    from assets._dry_run import judged_dry_run
    from storage.database import session_scope
    from storage.lake import Lake
    from storage.scope import Scope

    _require_month(period)
    addresses = connected()
    scope = Scope(period, tuple(tenants or ()), tuple(customers or ()))
    with session_scope(addresses.database_url) as session:
        return judged_dry_run(session, Lake(addresses.lake_url), scope)


def _require_month(period: str) -> None:
    if not re.fullmatch(r"20[2-9]\d-(0[1-9]|1[0-2])", period):
        raise BadPeriod(period)


def _outcome(report: Report, lake_url: str, period: str, scope: dict[str, list[str]]) -> Report:
    import polars as pl

    from storage.lake import Lake
    from storage.scope import Scope

    lake = Lake(lake_url)
    asked = Scope(period, tuple(scope["tenants"]), tuple(scope["customers"]))
    held = lake.scan("routed_lines", asked).filter(pl.col("destination") == "HELD")
    report.held = (
        held.select("tenant_id", "customer_id", reason="hold_reason")
        .unique()
        .sort(pl.all())
        .collect()
        .to_dicts()
    )
    order = ["tenant_id", "number"]
    report.invoices = lake.scan("invoices", asked).sort(order).collect().to_dicts()
    return report


def _execute(
    job: str,
    *,
    partition: str | None = None,
    config: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExecuteInProcessResult:
    import dagster as dg

    from orchestration.definitions import defs

    @dg.success_hook
    def step_done(context: dg.HookContext) -> None:
        if progress:
            progress(context.step_key)

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with _instance() as instance:
        result = (
            defs.resolve_job_def(job)
            .with_hooks({step_done})
            .execute_in_process(
                instance=instance,
                partition_key=partition,
                run_config={**quiet, **(config or {})},
                tags={"aforo/by": "aforo command"},
                raise_on_error=False,
            )
        )
        if not result.success:
            raise _failure(job, result, instance)
        return result


@contextmanager
def _instance() -> Iterator[DagsterInstance]:
    """The stack's Dagster instance; where only servers are given by the environment, one is set up over them."""
    import dagster as dg

    addresses = connected()
    folder = Path(addresses.home) / "dagster"
    if not (folder / "dagster.yaml").exists():
        schema.prepare(addresses.database_url)
        dagster_home.write(folder, code_port=0)
    with dg.DagsterInstance.get() as instance:
        # Dagster opens a connection for each record it writes, two milliseconds each time, unless it is told to keep them.
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=10)
        yield instance


def _failure(job: str, result: ExecuteInProcessResult, instance: DagsterInstance) -> RunFailed:
    """The reasons of a failed run: gates that closed, else the steps' errors."""
    gates = [check for check in result.get_asset_check_evaluations() if not check.passed]
    if gates:
        reasons = [
            f"gate of {check.asset_key.path[-1]}: {check.metadata['failing_rows'].value}" for check in gates
        ]
        return GateStopped(job, result.run_id, reasons)
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    errors = [_root(data.error) for data in failures if data.error]
    closed = any("gate of" in error for error in errors)
    return (GateStopped if closed else RunFailed)(job, result.run_id, errors)


def _root(error: Any) -> str:
    while error.cause is not None:
        error = error.cause
    return str(error.message).strip()


def _rows(event: Any, name: str) -> int:
    value = event.materialization.metadata.get(name)
    return int(value.value) if value is not None else 0
