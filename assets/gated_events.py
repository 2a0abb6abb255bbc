"""validated_events and quarantined_events: new raw events through the gates, in two halves that make the whole."""

from collections.abc import Iterator

import dagster as dg

from assets._events import event_metadata
from assets._table import described
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
def gated_events(lake: dg.ResourceParam[Lake]) -> Iterator[dg.MaterializeResult]:
    first = last = None
    for batch in increments(lake):
        batch.commit(*gate(batch.raw, standing_keys=batch.standing_keys))
        first, last = first or batch.first, batch.last
    for name in HALVES:
        yield dg.MaterializeResult(asset_key=name, metadata=event_metadata(lake, name, first, last))
