"""raw_events: the event log drained into the lake, exactly once."""

import dagster as dg
from redis import Redis

from assets._events import event_metadata
from assets._table import described
from storage.drain import drain
from storage.lake import Lake
from transforms.frames import TABLES


@dg.asset(
    description=TABLES["raw_events"].doc,
    group_name="events",
    kinds={"valkey", "deltalake"},
    metadata=described("raw_events"),
)
def raw_events(redis: dg.ResourceParam[Redis], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    done = drain(redis, lake)
    return dg.MaterializeResult(
        metadata=event_metadata(lake, "raw_events", done.first, done.last) | done.verdicts
    )
