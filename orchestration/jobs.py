"""What can be run. Put here: jobs. Keep out: when (schedules.py, sensors.py)."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from sqlalchemy import Engine

from assets._table import MONTHS
from orchestration.checks import EVENT_TABLES
from providers.notifications import notifier_of
from providers.payments import Order, provider_of
from providers.payments import Outcome as PaymentOutcome
from providers.refills import Manual
from storage.lake import Lake
from storage.sealed import Seal
from storage.secret_files import sealing_key
from storage.services.invoice_upkeep import keep_invoices
from storage.services.messages import carry_messages
from storage.services.payment_gateways import PaymentGateways
from storage.services.payment_rounds import take_payments
from storage.services.payments import Due
from storage.services.subscription_upkeep import keep_up
from storage.services.threshold_invoices import cut_invoices
from storage.services.wallet_upkeep import keep_wallets
from storage.tables.money import PaymentGatewayRow
from storage.tenancy import Tx
from transforms.frames import LAKE_TABLES, TABLES

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
    for name in LAKE_TABLES:
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


@dg.op(ins={"after": dg.In(dg.Nothing)})
def move_invoices_on(context: dg.OpExecutionContext, database: dg.ResourceParam[Engine]) -> None:
    """Do what is due for invoices; one that cannot be moved on is named and tried again next time."""
    done = keep_invoices(database, datetime.now(UTC))
    context.log.info(
        "%s issued, %s overdue, %s reminded, %s given up, %s credit notes",
        done.issued,
        done.overdue,
        done.reminded,
        done.given_up,
        done.credited,
    )
    for invoice, why in done.stuck.items():
        context.log.error("invoice %s could not be moved on: %s", invoice, why)


@dg.op
def take_due_payments(context: dg.OpExecutionContext, database: dg.ResourceParam[Engine]) -> None:
    """Take what is due from the customers' payment methods; what cannot be charged now is named and tried again next time."""
    seal = Seal(sealing_key(Path(os.environ["AFORO_HOME"])))

    def charge(tx: Tx, gateway: PaymentGatewayRow, due: Due) -> PaymentOutcome:
        secret = PaymentGateways(tx, seal).api_key(gateway)
        return provider_of(gateway.gateway_type, secret).charge(Order(**asdict(due)))

    done = take_payments(database, charge, datetime.now(UTC))
    context.log.info("%s invoices paid, %s payments failed, %s pending", done.paid, done.failed, done.pending)
    for invoice, why in done.stuck.items():
        context.log.error("invoice %s could not be charged: %s", invoice, why)


@dg.op(ins={"after": dg.In(dg.Nothing)})
def carry_what_waits(context: dg.OpExecutionContext, database: dg.ResourceParam[Engine]) -> None:
    """Hand the messages to customers over; what cannot be handed over waits."""
    asked = os.environ.get
    notifier = notifier_of(os.environ["AFORO_HOME"], asked("AFORO_SMTP_URL"), asked("AFORO_MAIL_FROM"))
    done = carry_messages(database, notifier.send, datetime.now(UTC))
    context.log.info("%s messages handed over to %s, %s dropped", done.sent, notifier.name, done.dropped)
    for message, why in done.stuck.items():
        context.log.error("message %s waits: %s", message, why)


@dg.op
def book_what_is_due(context: dg.OpExecutionContext, database: dg.ResourceParam[Engine]) -> None:
    """Book what time does to wallets; what cannot be done is named and tried again next time."""
    done = keep_wallets(database, datetime.now(UTC), Manual().collect)
    context.log.info("%s wallets kept, %s top-ups asked for", done.kept, done.asked)
    for what, why in done.stuck.items():
        context.log.error("wallet or top-up %s: %s", what, why)


@dg.job(
    executor_def=dg.in_process_executor,
    description="Issue drafts whose grace period is over; take what is due; mark unpaid invoices overdue, remind of them, give them up.",
)
def keep_invoices_daily() -> None:
    carry_what_waits(move_invoices_on(take_due_payments()))


@dg.op
def cut_interim_invoices(
    context: dg.OpExecutionContext, database: dg.ResourceParam[Engine], lake: dg.ResourceParam[Lake]
) -> None:
    """Bill what has accrued where it has crossed its threshold; what cannot be worked out is named and tried again next time."""
    done = cut_invoices(database, lake, datetime.now(UTC))
    context.log.info("%s interim invoices cut: %s", len(done.cut), ", ".join(done.cut) or "none")
    for subscription, why in done.stuck.items():
        context.log.error("subscription %s: %s", subscription, why)


@dg.job(
    executor_def=dg.in_process_executor,
    description="Cut an interim invoice for each subscription whose accrued spend has crossed its threshold.",
)
def watch_thresholds() -> None:
    cut_interim_invoices()


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
    watch_thresholds,
]
