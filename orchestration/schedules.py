"""When things run by themselves. Put here: schedules. Keep out: what they run (jobs.py)."""

from collections.abc import Iterator

import dagster as dg
from redis import Redis

from orchestration.jobs import access_rights, close_month, ingest, maintain_lake
from storage.drain import backlog

RUNNING = dg.DefaultScheduleStatus.RUNNING


@dg.schedule(job=ingest, cron_schedule="* * * * *", default_status=RUNNING)
def ingest_every_minute(
    context: dg.ScheduleEvaluationContext, redis: dg.ResourceParam[Redis]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Move what the edge accepted into the lake; a minute without events starts no run."""
    waiting, oldest = backlog(redis)
    if not waiting:
        yield dg.SkipReason("The event log is empty.")
        return
    context.log.info("%s requests wait, the oldest since %s", waiting, oldest)
    yield dg.RunRequest()


close_month_on_the_first = dg.build_schedule_from_partitioned_job(
    close_month,
    name="close_month_on_the_first",
    day_of_month=1,
    hour_of_day=2,
    default_status=RUNNING,
    description="Bill the month that has just ended, on the 1st at 02:00 UTC.",
)

publish_rights = dg.ScheduleDefinition(
    name="publish_rights",
    job=access_rights,
    cron_schedule="*/15 * * * *",
    default_status=RUNNING,
    description="The safety net under the pushes: hot state is made anew from the database.",
)

maintain_nightly = dg.ScheduleDefinition(
    name="maintain_nightly", job=maintain_lake, cron_schedule="30 3 * * *", default_status=RUNNING
)

SCHEDULES = [ingest_every_minute, close_month_on_the_first, publish_rights, maintain_nightly]
