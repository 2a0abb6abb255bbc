"""raw_events: the event logs of all regions drained into the lake, exactly once."""

import dagster as dg
from redis import Redis
from sqlalchemy import Engine

from assets._events import INGESTING, event_metadata
from assets._table import described
from expectations.data_docs import DataDocs
from storage.checking import checking_here
from storage.database import advisory_lock
from storage.drain import drain_regions
from storage.lake import Lake
from storage.regions import other_regions
from storage.services.event_corrections import send_waiting
from transforms.frames import TABLES


@dg.asset(
    description=TABLES["raw_events"].doc,
    group_name="events",
    kinds={"valkey", "deltalake"},
    metadata=described("raw_events"),
)
def raw_events(
    context: dg.AssetExecutionContext,
    redis: dg.ResourceParam[Redis],
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Engine],
    docs: dg.ResourceParam[DataDocs],
) -> dg.MaterializeResult:
    with advisory_lock(database, INGESTING):
        send_waiting(database, redis)
        done = drain_regions(redis, other_regions(), lake, checking=checking_here())
    metadata = event_metadata(lake, "raw_events", done.first, done.last, docs=docs, run=context.run_id)
    return dg.MaterializeResult(metadata=metadata | done.verdicts)
