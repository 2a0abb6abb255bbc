"""What can be run. Put here: jobs. Keep out: when (schedules.py, sensors.py)."""

from datetime import UTC, datetime

import dagster as dg
from sqlalchemy import Engine

from assets._table import MONTHS
from orchestration.checks import EVENT_TABLES
from providers.refills import Manual
from storage.lake import Lake
from storage.services.invoice_upkeep import keep_invoices
from storage.services.subscription_upkeep import keep_up
from storage.services.wallet_upkeep import keep_wallets
from transforms.frames import TABLES

_EVENTS = dg.AssetSelection.assets(*EVENT_TABLES)
_BILLING = dg.AssetSelection.assets(*(name for name in TABLES if name not in EVENT_TABLES))
_VALIDATED = dg.AssetSelection.checks_for_assets(dg.AssetKey("validated_events"))

ingest = dg.define_asset_job(
    "ingest",
    selection=_EVENTS,
    description="Drain the event log and pass new events through the gates.",
    executor_def=dg.in_process_executor,
)

close_month = dg.define_asset_job(
    "close_month",
    selection=_BILLING | _VALIDATED,
    partitions_def=MONTHS,
    description="Bill a month: freeze terms, meter, run the ten stages, write invoices. A rerun gives the same invoices. "
    "For chosen tenants or customers, set resources › scope in the launchpad: exactly their rows are replaced.",
    executor_def=dg.in_process_executor,
)

access_rights = dg.define_asset_job(
    "access_rights",
    selection=dg.AssetSelection.assets("access_snapshot"),
    description="Publish all rights to the edge's hot state anew, and compare its counters with the lake.",
    executor_def=dg.in_process_executor,
)

replay_month = dg.define_asset_job(
    "replay_month",
    selection=dg.AssetSelection.assets("replay"),
    partitions_def=MONTHS,
    description="Work a billed month out again from raw events and compare it with what was billed. Posts nothing.",
    executor_def=dg.in_process_executor,
)

dry_run_month = dg.define_asset_job(
    "dry_run_month",
    selection=dg.AssetSelection.assets("dry_run"),
    partitions_def=MONTHS,
    description="A month as it would be billed now, as a page and as JSON. No number is used, no wallet moves. "
    "For chosen tenants or customers, set resources › scope in the launchpad.",
    executor_def=dg.in_process_executor,
)

reconcile = dg.define_asset_job(
    "reconcile",
    selection=dg.AssetSelection.assets("reconciliation")
    | dg.AssetSelection.checks_for_assets(dg.AssetKey("reconciliation")),
    partitions_def=MONTHS,
    description="Compare ledger, invoices, rated lines, events and the edge's counters of a month; changes nothing.",
    executor_def=dg.in_process_executor,
)


@dg.op
def compact_tables(context: dg.OpExecutionContext, lake: dg.ResourceParam[Lake]) -> None:
    """Merge small files, table by table."""
    for name in TABLES:
        lake.compact(name)
        context.log.info("compacted %s", name)


@dg.job(
    executor_def=dg.in_process_executor,
    description="Merge the small files that frequent appends leave in the lake.",
)
def maintain_lake() -> None:
    compact_tables()


@dg.op
def record_what_is_due(context: dg.OpExecutionContext, database: dg.ResourceParam[Engine]) -> None:
    """Move on the subscriptions whose time has come; one that cannot be moved is named and tried again next time."""
    done = keep_up(database, datetime.now(UTC))
    context.log.info("%s subscriptions moved on", done.moved)
    for subscription, why in done.stuck.items():
        context.log.error("subscription %s could not be moved on: %s", subscription, why)


@dg.job(
    executor_def=dg.in_process_executor,
    description="Begin, convert, change and end the subscriptions whose time has come, and revoke the keys of ended ones.",
)
def keep_subscriptions() -> None:
    record_what_is_due()


@dg.op
def move_invoices_on(context: dg.OpExecutionContext, database: dg.ResourceParam[Engine]) -> None:
    """Do what is due for invoices; one that cannot be moved on is named and tried again next time."""
    done = keep_invoices(database, datetime.now(UTC))
    context.log.info(
        "%s issued, %s overdue, %s reminded, %s given up",
        done.issued,
        done.overdue,
        done.reminded,
        done.given_up,
    )
    for invoice, why in done.stuck.items():
        context.log.error("invoice %s could not be moved on: %s", invoice, why)


@dg.op
def book_what_is_due(context: dg.OpExecutionContext, database: dg.ResourceParam[Engine]) -> None:
    """Book what time does to wallets; what cannot be done is named and tried again next time."""
    done = keep_wallets(database, datetime.now(UTC), Manual().collect)
    context.log.info("%s wallets kept, %s top-ups asked for", done.kept, done.asked)
    for what, why in done.stuck.items():
        context.log.error("wallet or top-up %s: %s", what, why)


@dg.job(
    executor_def=dg.in_process_executor,
    description="Issue drafts whose grace period is over; mark unpaid invoices overdue, remind of them, give them up.",
)
def keep_invoices_daily() -> None:
    move_invoices_on()


@dg.job(
    executor_def=dg.in_process_executor,
    description="Let holds lapse and grants take effect and expire (booked as breakage), and collect automatic top-ups.",
)
def keep_wallet_books() -> None:
    book_what_is_due()


JOBS = [
    ingest,
    close_month,
    replay_month,
    dry_run_month,
    reconcile,
    access_rights,
    maintain_lake,
    keep_subscriptions,
    keep_invoices_daily,
    keep_wallet_books,
]
