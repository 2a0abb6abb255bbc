"""The blocking check of every asset, made from its suite. Put here: making them. Keep out: what they expect (expectations/)."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets._table import MONTHS
from assets._verdicts import PASSED, check_result, verdict_metadata
from expectations.catalogue import suite_of
from expectations.data_docs import DataDocs
from expectations.gate import run_gate
from storage.gate_holds import left_out
from storage.lake import Lake
from storage.scope import Scope
from transforms.enrich import window
from transforms.frames import TABLES
from transforms.held_by_gate import BEFORE_RATE, without

EVENT_TABLES = ("raw_events", "validated_events", "quarantined_events")
NAME = "gate"


def make_check(name: str) -> dg.AssetChecksDefinition:
    """The gate of one asset; if it fails, nothing downstream runs.

    A table made in the same run was judged when it was made, and the check repeats that verdict. Otherwise it judges what lies
    in the lake.
    """

    @dg.asset_check(
        asset=name,
        name=NAME,
        blocking=True,
        description=f"The Great Expectations suite of {name}; everything downstream waits for it.",
        partitions_def=None if name in EVENT_TABLES else MONTHS,
    )
    def gate(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        scope: dg.ResourceParam[Scope],
        docs: dg.ResourceParam[DataDocs],
    ) -> dg.AssetCheckResult:
        said = _said_in_this_run(context, name)
        if said is not None:
            return check_result(said)
        suite, frames = suite_of(name), _frames(context, lake, scope, name)
        related = {other: frames[other] for other in suite.related}
        verdict = run_gate(suite, frames[name], related, docs=docs.path, run=context.run.run_id)
        return check_result(verdict_metadata(verdict, docs))

    return gate


def _said_in_this_run(context: dg.AssetCheckExecutionContext, name: str) -> Mapping[str, Any] | None:
    event = context.instance.get_latest_materialization_event(dg.AssetKey(name))
    if event is None or event.run_id != context.run.run_id or event.asset_materialization is None:
        return None
    metadata = event.asset_materialization.metadata
    return metadata if PASSED in metadata else None


def _frames(
    context: dg.AssetCheckExecutionContext, lake: Lake, scope: Scope, name: str
) -> dict[str, pl.LazyFrame]:
    """The tables a suite needs, in the run's scope: of events all there are, or in a billing run those of the month; of other tables
    the month, without those whose rows a gate left out."""
    if name not in EVENT_TABLES:
        month = scope.of(context.partition_key)
        may_miss = (*BEFORE_RATE, "rated_lines")
        missing = left_out(lake, month, may_miss if name in may_miss else ())
        return {table: without(lake.scan(table, month), missing) for table in (name, *suite_of(name).related)}
    everybody = Scope(None, scope.tenants, scope.customers)
    everything = {table: lake.scan(table, everybody) for table in EVENT_TABLES}
    billed = context.run.tags.get("dagster/partition")
    if billed and name == "validated_events":
        months = window(billed, TABLES["billing_terms"].empty()).months()
        everything[name] = everything[name].filter(pl.col("occurred_month").is_in(months))
    return everything


CHECKS = [make_check(name) for name in TABLES]
