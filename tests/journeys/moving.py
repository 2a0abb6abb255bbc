"""`python -m tests.journeys.moving`: events from the logs into the lake and through the gates, again and again, as the `ingest` job
moves them but within a second. Put here: the process. With AFORO_UNLOCKED=1 two of them fight each other."""

from __future__ import annotations

import logging
import os
import time
from contextlib import nullcontext

from redis import Redis

from storage.database import advisory_lock, make_engine
from storage.drain import drain_regions
from storage.increments import increments
from storage.lake import Lake
from storage.regions import other_regions
from storage.services.event_corrections import send_waiting
from transforms.gate import gate

LOCK = "aforo:ingest"
log = logging.getLogger(__name__)


def main() -> None:
    """Until killed."""
    engine = make_engine(os.environ["AFORO_DATABASE_URL"], pool_size=2)
    redis = Redis.from_url(os.environ["AFORO_REDIS_URL"], socket_timeout=3)
    lake = Lake(os.environ["AFORO_LAKE_URL"])
    others = other_regions()
    unlocked = "AFORO_UNLOCKED" in os.environ
    while True:
        try:
            with nullcontext() if unlocked else advisory_lock(engine, LOCK):
                send_waiting(engine, redis)
                drain_regions(redis, others, lake, events=2_000)
            with nullcontext() if unlocked else advisory_lock(engine, LOCK):
                for batch in increments(lake):
                    batch.commit(*gate(batch.raw, standing_keys=batch.standing_keys))
        except Exception as error:
            log.warning("not moved: %s", error)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
