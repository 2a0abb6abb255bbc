"""Interim invoices of open periods. Put here: cutting one when accrued spend crosses the subscription's threshold. Keep out: what
the closing bill gives back (repositories.interim_bills), when to look (orchestration).

What has accrued is the period's usage by the stages that will bill it, after discounts, before tax. Fees and what a minimum spend
adds wait for the closing bill. That one works the period out as a whole and gives back what interim invoices billed, to
the very tax; so however often one is cut, all together come to what one bill would.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

import polars as pl
from sqlalchemy import Engine, select

from domain.actor import SYSTEM
from domain.errors import AforoError, PermanentFailure
from domain.invoice_life import THRESHOLD
from domain.money import unpadded
from domain.period import Period, billing_month
from domain.subscription_states import TERMINAL
from storage.code_version import code_version
from storage.database import session_scope
from storage.lake import Lake
from storage.repositories.interim_bills import billed_before, standing
from storage.repositories.invoice_appearance import terms_of
from storage.repositories.invoice_states import InvoiceStates
from storage.repositories.invoices import write_bill
from storage.repositories.subscriptions import Subscriptions
from storage.repositories.terms import frozen_terms
from storage.services.invoice_preview import month_so_far
from storage.services.subscriptions import schedule_of
from storage.tables.corrections import InterimBillRow
from storage.tables.subscriptions import SubscriptionRow
from storage.tenancy import Tx, installation_tx
from transforms.frames import BILLING_TERMS
from transforms.inputs import input_hashes
from transforms.interim_bill import accrued_lines, interim_invoice, since
from transforms.s10_settle import settle
from transforms.terms import due
from transforms.work_out import WorkedOut

_LATER = ("ADJUSTMENT", "INTERIM")
"""Kinds of terms that are the closing bill's alone."""


class NotYetKnown(PermanentFailure):
    """What has accrued cannot be worked out; the closing bill would be held for the same reason."""

    code = "ACCRUED_SPEND_UNKNOWN"


@dataclass(slots=True)
class Round:
    """What a round did: numbers of the invoices it cut, and subscriptions that could not be looked at, with the reason."""

    cut: list[str] = field(default_factory=list)
    stuck: dict[str, str] = field(default_factory=dict)


def with_threshold(engine: Engine) -> list[tuple[str, str]]:
    """(tenant, subscription) that interim invoices may be cut for."""
    row = SubscriptionRow
    query = select(row.tenant_id, row.id).where(
        row.billing_threshold.is_not(None), row.status.not_in((*TERMINAL, "CREATED"))
    )
    with session_scope(engine) as session:
        return list(session.execute(query.order_by(row.tenant_id, row.customer_id, row.id)).tuples())


def cut_invoices(engine: Engine, lake: Lake, at: datetime) -> Round:
    """Cut what is to be cut at `at`, a transaction for each subscription, so that one failure holds up nothing else. Repeating it
    cuts nothing new until as much has accrued again."""
    done = Round()
    for tenant_id, subscription_id in with_threshold(engine):
        try:
            # Bills are written by COPY, which row-level security does not allow to tenants; all queries name theirs.
            with installation_tx(engine, SYSTEM, at=at) as tx:
                number = ThresholdInvoices(tx.of(tenant_id), lake).cut(subscription_id)
        except AforoError as error:
            done.stuck[f"{tenant_id}/{subscription_id}"] = str(error)
        else:
            done.cut += [number] if number else []
    return done


class ThresholdInvoices:
    """One tenant's interim invoices. tx: of the installation, acting for the tenant."""

    def __init__(self, tx: Tx, lake: Lake) -> None:
        self._tx = tx
        self._lake = lake

    def cut(self, subscription_id: str) -> str | None:
        """The number of the interim invoice, or None: not enough has accrued since the last one. Issued at once, unless the tenant
        issues its invoices itself. Raises SubscriptionNotFound, NotYetKnown, and what the stages raise."""
        # Locked before anything is read, so that of two at once the second sees what the first has billed.
        row = Subscriptions(self._tx.session, self._tx.tenant_id).locked(subscription_id)
        if row.billing_threshold is None:
            return None
        period = schedule_of(row).at(self._tx.at)
        so_far = self._so_far(row, period)
        if so_far is None:
            return None
        before = standing(self._tx.session, self._tx.tenant_id, [row.customer_id]).get(
            (row.id, period.start), []
        )
        usage = accrued_lines(so_far.tables["discounted_lines"], so_far.terms, row.id, period.start)
        lines = since(usage, billed_before(self._tx.session, before), self._tx.at)
        if sum(lines["amount"], Decimal(0)) < row.billing_threshold:
            return None
        accrued = sum(usage["charged"], Decimal(0))
        return self._write(row, period, so_far, lines, accrued)

    def _so_far(self, row: SubscriptionRow, period: Period) -> WorkedOut | None:
        """The customer's month in which the open period will be due; None: nothing of it is postpaid usage."""
        month = billing_month(period.end, row.time_zone)
        frozen = frozen_terms(
            self._tx.session, month=month, tenants=[row.tenant_id], customers=[row.customer_id]
        )
        rows = [each for each in frozen if each["kind"] not in _LATER]
        mine = [each for each in rows if each["subscription_id"] == row.id and each["due"]]
        usage = [
            each
            for each in mine
            if each["kind"] == "USAGE" and each["period_start"].astimezone(UTC) == period.start
        ]
        if not usage or any(each["billing_mode"] != "POSTPAID" for each in usage):
            return None
        # What a minimum adds is known at the end of the period only.
        terms = pl.DataFrame(rows, schema=BILLING_TERMS.schema).with_columns(
            minimum_spend=pl.when(pl.col("subscription_id") != row.id).then("minimum_spend")
        )
        found = month_so_far(self._tx.session, self._lake, terms, row.tenant_id, row.customer_id, month)
        problems = found.tables["taxed_lines"]["problem"].drop_nulls().unique().sort().to_list()
        if problems:
            raise NotYetKnown("; ".join(problems))
        return found

    def _write(
        self, row: SubscriptionRow, period: Period, so_far: WorkedOut, lines: pl.DataFrame, accrued: Decimal
    ) -> str:
        place = self._next_place(row, period)
        said = "\0".join([row.tenant_id, row.id, period.start.isoformat(), str(place)])
        invoice_id = "inv_" + sha256(said.encode()).hexdigest()[:20]
        routed = interim_invoice(lines, so_far.terms, invoice_id)
        inputs = input_hashes(
            metered_events=so_far.metered_events.lazy(),
            terms=so_far.terms,
            routed_lines=routed,
            rollovers=so_far.tables["rollovers"],
            code=code_version(),
        )
        bill = settle(routed_lines=routed, terms=due(so_far.terms)).join(
            inputs, on=["tenant_id", "invoice_id"], how="left"
        )
        number = write_bill(self._tx.session, bill, routed, kind=THRESHOLD)
        self._tx.session.add(
            InterimBillRow(
                tenant_id=row.tenant_id,
                invoice_id=invoice_id,
                subscription_id=row.id,
                period_start=period.start,
                number=place,
                created_at=self._tx.at,
            )
        )
        self._tx.session.flush()
        figures = {
            "total": bill["total"][0],
            "threshold": unpadded(row.billing_threshold or Decimal(0), 2),
            "accrued": accrued,
        }
        about = {"subscription": row.id, **{name: str(each) for name, each in figures.items()}}
        about = {name: {"before": None, "after": each} for name, each in about.items()}
        self._tx.record("INVOICE_CREATED", "invoice", number, about, "accrued spend crossed the threshold")
        if terms_of(self._tx.session, row.tenant_id).get("autoFinalize", True):
            InvoiceStates(self._tx.session, row.tenant_id, self._tx.actor, at=self._tx.at).finalize(
                invoice_id
            )
        return number

    def _next_place(self, row: SubscriptionRow, period: Period) -> int:
        """From 1 within the period; void ones count, their numbers are taken."""
        bill = InterimBillRow
        query = select(bill.number).where(
            bill.tenant_id == row.tenant_id,
            bill.subscription_id == row.id,
            bill.period_start == period.start,
        )
        return max(self._tx.session.scalars(query), default=0) + 1
