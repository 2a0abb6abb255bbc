"""validated_events and quarantined_events: new raw events through the gates, in two halves that make the whole."""

from collections.abc import Iterator

import dagster as dg
from sqlalchemy import Engine

from assets._events import INGESTING, event_metadata
from assets._table import described
from expectations.data_docs import DataDocs
from storage.database import advisory_lock
from storage.increments import increments
from storage.lake import Lake
from transforms.frames import TABLES
from transforms.gate import gate

HALVES = ("validated_events", "quarantined_events")


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            deps=["raw_events"],
            description=TABLES[name].doc,
            group_name="events",
            kinds={"polars", "deltalake"},
            metadata=described(name),
        )
        for name in HALVES
    ]
)
def gated_events(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Engine],
    docs: dg.ResourceParam[DataDocs],
) -> Iterator[dg.MaterializeResult]:
    first = last = None
    with advisory_lock(database, INGESTING):
        for batch in increments(lake):
            batch.commit(*gate(batch.raw, standing_keys=batch.standing_keys))
            first, last = first or batch.first, batch.last
    for name in HALVES:
        metadata = event_metadata(lake, name, first, last, docs=docs, run=context.run_id)
        yield dg.MaterializeResult(asset_key=name, metadata=metadata)
