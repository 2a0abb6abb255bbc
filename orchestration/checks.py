"""The blocking check of every asset, made from its suite. Put here: making them. Keep out: what they expect (expectations/)."""

import dagster as dg
import polars as pl

from assets._events import FIRST, LAST, increment
from assets._table import MONTHS
from assets._verdicts import failing_rows, verdict_metadata
from expectations.catalogue import suite_of
from expectations.data_docs import DataDocs
from expectations.gate import run_gate
from storage.lake import Lake, Scope
from transforms.enrich import window
from transforms.frames import TABLES

EVENT_TABLES = ("raw_events", "validated_events", "quarantined_events")
NAME = "gate"


def make_check(name: str) -> dg.AssetChecksDefinition:
    """The gate of one asset: judges what is in the lake; if it fails, nothing downstream runs."""

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
        suite = suite_of(name)
        frames = (
            _event_frames(context, lake, name)
            if name in EVENT_TABLES
            else _month_frames(context, lake, scope, name)
        )
        related = {other: frames[other] for other in suite.related}
        verdict = run_gate(
            suite,
            frames[name],
            related,
            docs=docs.path,
            run=context.run.run_id,
            keep=name not in EVENT_TABLES,
        )
        return dg.AssetCheckResult(
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={
                **verdict_metadata(verdict),
                "failing_rows": failing_rows(verdict),
                "data_docs": dg.MetadataValue.url(docs.link(verdict.page or "")),
            },
        )

    return gate


def _month_frames(
    context: dg.AssetCheckExecutionContext, lake: Lake, scope: Scope, name: str
) -> dict[str, pl.LazyFrame]:
    month = scope.of(context.partition_key)
    return {table: lake.scan(table, month) for table in (name, *suite_of(name).related)}


def _event_frames(context: dg.AssetCheckExecutionContext, lake: Lake, name: str) -> dict[str, pl.LazyFrame]:
    """What this run added; without that, the events of the billed month; without a month, all there is."""
    first, last = _added_by(context, name)
    if first and last:
        return {table: increment(lake, table, first, last) for table in EVENT_TABLES}
    month = context.run.tags.get("dagster/partition")
    everything = {table: lake.scan(table) for table in EVENT_TABLES}
    if month and name == "validated_events":
        months = window(month, TABLES["billing_terms"].empty()).months()
        events = everything[name].filter(pl.col("occurred_month").is_in(months))
        return everything | {name: events}
    return everything


def _added_by(context: dg.AssetCheckExecutionContext, name: str) -> tuple[int | None, int | None]:
    event = context.instance.get_latest_materialization_event(dg.AssetKey(name))
    materialization = event.asset_materialization if event and event.run_id == context.run.run_id else None
    if materialization is None:
        return None, None
    first, last = (materialization.metadata.get(key) for key in (FIRST, LAST))
    return (first.value, last.value) if first and last else (None, None)


CHECKS = [make_check(name) for name in TABLES]
