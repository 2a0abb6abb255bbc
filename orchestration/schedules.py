"""When things run by themselves. Put here: schedules. Keep out: what they run (jobs.py)."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import polars as pl
from redis import Redis
from sqlalchemy import Engine

from orchestration.jobs import (
    access_rights,
    close_month,
    ingest,
    keep_invoices_daily,
    keep_subscriptions,
    keep_wallet_books,
    maintain_lake,
    reconcile,
    watch_thresholds,
)
from storage.bill_claims import is_billed_now
from storage.database import session_scope
from storage.drain import backlog
from storage.lake import Lake
from storage.regions import other_regions
from storage.scope import Scope
from storage.services.event_corrections import count_waiting
from storage.services.subscription_upkeep import due
from storage.services.threshold_invoices import with_threshold
from storage.services.wallet_upkeep import due_wallets
from storage.unbilled_usage import WHO, unbilled_customers

_MANY = 5_000
"""Customers named one by one in a run."""

RUNNING = dg.DefaultScheduleStatus.RUNNING


@dg.schedule(job=ingest, cron_schedule="* * * * *", default_status=RUNNING)
def ingest_every_minute(
    context: dg.ScheduleEvaluationContext,
    redis: dg.ResourceParam[Redis],
    database: dg.ResourceParam[Engine],
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Move what the edge accepted into the lake; a minute without events starts no run."""
    waiting, oldest = backlog(redis, other_regions())
    with session_scope(database) as session:
        acts = count_waiting(session)
    if not waiting and not acts:
        yield dg.SkipReason("The event log is empty.")
        return
    context.log.info("%s requests wait, the oldest since %s", waiting, oldest)
    yield dg.RunRequest()


@dg.schedule(job=close_month, cron_schedule="30 12 1 * *", execution_timezone="UTC", default_status=RUNNING)
def close_month_on_the_first(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Bill the month that has just ended: on the 1st at 12:30 UTC, when it has ended in every time zone."""
    first = context.scheduled_execution_time.replace(day=1)
    month = (first - timedelta(days=1)).strftime("%Y-%m")
    return dg.RunRequest(run_key=month, partition_key=month)


@dg.schedule(job=close_month, cron_schedule="45 2 * * *", execution_timezone="UTC", default_status=RUNNING)
def bill_unbilled_usage_daily(
    context: dg.ScheduleEvaluationContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Engine]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Bill last month again for the customers whose usage came after their bills were made: drafts take it in before they are
    issued, for issued invoices it becomes a correction."""
    today = context.scheduled_execution_time
    month = (today.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
    if today.day == 1:
        yield dg.SkipReason(f"{month} is billed today.")
        return
    unbilled = unbilled_customers(lake, Scope(month))
    with session_scope(database) as session:
        busy = [each for each in unbilled["tenant_id"].unique() if is_billed_now(session, each, month)]
    unbilled = unbilled.filter(~pl.col("tenant_id").is_in(busy))
    if unbilled.is_empty():
        yield dg.SkipReason(f"{', '.join(busy)}: is being billed." if busy else "All usage is billed.")
        return
    context.log.info("%s unbilled events of %s customers", unbilled["events"].sum(), unbilled.height)
    tenants, customers = (unbilled[name].unique().sort().to_list() for name in WHO)
    # So many are billed as fast with all others of their tenants.
    scope = {"tenants": tenants, "customers": customers if len(customers) <= _MANY else []}
    yield dg.RunRequest(
        run_key=f"unbilled {month} {today:%Y-%m-%d}",
        partition_key=month,
        run_config={"resources": {"scope": {"config": scope}}},
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

invoices_nightly = dg.ScheduleDefinition(
    name="invoices_nightly",
    job=keep_invoices_daily,
    cron_schedule="15 4 * * *",
    default_status=RUNNING,
    description="Drafts are issued, unpaid invoices reminded of.",
)


@dg.schedule(job=keep_subscriptions, cron_schedule="*/5 * * * *", default_status=RUNNING)
def keep_subscriptions_every_five_minutes(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Engine]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Record what happens to subscriptions by itself; where nothing is due no run starts."""
    waiting = due(database, context.scheduled_execution_time)
    if not waiting:
        yield dg.SkipReason("No subscription is due for anything.")
        return
    context.log.info("%s subscriptions are due", len(waiting))
    yield dg.RunRequest()


@dg.schedule(job=keep_wallet_books, cron_schedule="*/5 * * * *", default_status=RUNNING)
def keep_wallets_every_five_minutes(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Engine]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Book what time does to wallets; where nothing is due no run starts."""
    wallets, top_ups = due_wallets(database, context.scheduled_execution_time)
    if not wallets and not top_ups:
        yield dg.SkipReason("No wallet is due for anything.")
        return
    context.log.info("%s wallets and %s top-ups are due", len(wallets), len(top_ups))
    yield dg.RunRequest()


@dg.schedule(job=watch_thresholds, cron_schedule="10 * * * *", default_status=RUNNING)
def watch_thresholds_hourly(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Engine]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Look at what has accrued, every hour; where no subscription has a threshold no run starts."""
    watched = with_threshold(database)
    if not watched:
        yield dg.SkipReason("No subscription has a billingThreshold.")
        return
    context.log.info("%s subscriptions have a threshold", len(watched))
    yield dg.RunRequest()


@dg.schedule(job=reconcile, cron_schedule="15 4 * * *", execution_timezone="UTC", default_status=RUNNING)
def reconcile_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Compare the books of the month billed last."""
    first = context.scheduled_execution_time.replace(day=1)
    day = context.scheduled_execution_time.strftime("%Y-%m-%d")
    return dg.RunRequest(
        run_key=f"reconcile {day}", partition_key=(first - timedelta(days=1)).strftime("%Y-%m")
    )


SCHEDULES = [
    reconcile_daily,
    ingest_every_minute, close_month_on_the_first, bill_unbilled_usage_daily, publish_rights, maintain_nightly, invoices_nightly,
    keep_subscriptions_every_five_minutes, keep_wallets_every_five_minutes, watch_thresholds_hourly,
]  # fmt: skip
