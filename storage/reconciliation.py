"""Do the books agree? Put here: comparing ledger, invoices, rated lines and events of a month. Keep out: judging tables (expectations)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.invoice_life import DRAFT, NOT_BY_A_RUN, PERIOD
from storage.lake import Lake
from storage.repositories.rights import tenant_rights
from storage.scope import Scope
from storage.snapshot import counters_of, periods_of
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from storage.tables.money import WalletEntryRow
from storage.tables.tenants import TenantRow
from transforms.drift import drift

_SHOWN = 20


@dataclass(frozen=True)
class Agreement:
    """One comparison: what was compared, how many things, and the first that disagree."""

    name: str
    doc: str
    compared: int
    wrong: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.wrong


def reconcile(session: Session, lake: Lake, month: str) -> list[Agreement]:
    """The month's comparisons, in the order money flows back: ledger, invoices, lines, events."""
    scope = Scope(month)
    return [
        _ledger(session),
        _invoices_in_the_lake(session, lake, scope),
        _invoices_and_lines(session, month),
        _lines_and_rated_lines(session, lake, scope),
        _lines_and_events(lake, scope),
    ]


def _ledger(session: Session) -> Agreement:
    """Every transaction of the wallets sums to zero."""
    entry = WalletEntryRow
    sums = (
        select(entry.tenant_id, entry.transaction_id)
        .group_by(entry.tenant_id, entry.transaction_id)
        .having(func.sum(entry.amount) != 0)
    )
    wrong = [
        f"{tenant} {transaction}" for tenant, transaction in session.execute(sums.limit(_SHOWN)).tuples()
    ]
    compared = session.scalar(select(func.count(func.distinct(entry.transaction_id)))) or 0
    return Agreement("ledger_sums_to_zero", "every wallet transaction sums to zero", compared, tuple(wrong))


def _invoices_in_the_lake(session: Session, lake: Lake, scope: Scope) -> Agreement:
    """Numbers and totals of the lake are PostgreSQL's; an invoice's state may have moved on since."""
    columns = (InvoiceRow.tenant_id, InvoiceRow.number, InvoiceRow.total, InvoiceRow.content_hash)
    query = select(InvoiceRow.kind, *columns).where(
        InvoiceRow.month == scope.month, InvoiceRow.withdrawn.is_(False)
    )
    found = [(row[0], tuple(row[1:])) for row in session.execute(query)]
    # Those no run makes reach the lake with the month's next run.
    stored, wanted = {row for _, row in found}, {row for kind, row in found if kind not in NOT_BY_A_RUN}
    kept = set(
        lake.scan("invoices", scope).select("tenant_id", "number", "total", "content_hash").collect().rows()
    )
    wrong = sorted(f"{tenant} {number}" for tenant, number, *_ in (kept - stored) | (wanted - kept))
    return Agreement(
        "lake_has_the_invoices", "the lake's invoices are PostgreSQL's", len(stored), tuple(wrong[:_SHOWN])
    )


def _invoices_and_lines(session: Session, month: str) -> Agreement:
    line, invoice = InvoiceLineRow, InvoiceRow
    net = func.sum(line.amount + line.commit_adjustment - line.discount + line.tax)
    query = (
        select(invoice.tenant_id, invoice.number)
        .join(line, (line.tenant_id == invoice.tenant_id) & (line.invoice_id == invoice.id), isouter=True)
        .where(invoice.month == month, invoice.withdrawn.is_(False))
        .group_by(invoice.tenant_id, invoice.id, invoice.number, invoice.total)
        .having(func.coalesce(net, 0) != invoice.total)
    )
    wrong = [f"{tenant} {number}" for tenant, number in session.execute(query.limit(_SHOWN)).tuples()]
    count = select(func.count()).select_from(invoice).where(invoice.month == month)
    return Agreement(
        "lines_make_the_invoice",
        "an invoice is the sum of its lines",
        session.scalar(count) or 0,
        tuple(wrong),
    )


def _lines_and_rated_lines(session: Session, lake: Lake, scope: Scope) -> Agreement:
    """Drafts carry what was rated. Issued invoices stay as issued: what now comes to something else is a proposed correction."""
    line, invoice = InvoiceLineRow, InvoiceRow
    query = (
        select(line.line_id, line.amount, line.tenant_id)
        .join(invoice, (line.tenant_id == invoice.tenant_id) & (line.invoice_id == invoice.id))
        .where(invoice.month == scope.month, invoice.status == DRAFT, invoice.kind == PERIOD)
    )
    drafts = session.execute(query).tuples().all()
    rated = dict(lake.scan("rated_lines", scope).select("line_id", "amount").collect().iter_rows())
    wrong = [f"{tenant} {line_id}" for line_id, amount, tenant in drafts if rated.get(line_id) != amount]
    return Agreement(
        "drafts_are_as_rated",
        "a draft's lines have the amounts that were rated",
        len(drafts),
        tuple(wrong[:_SHOWN]),
    )


def _lines_and_events(lake: Lake, scope: Scope) -> Agreement:
    """Marginal revenue of a line's events is the line's unrounded charge."""
    earned = (
        lake.scan("metered_events", scope)
        .filter(pl.col("disposition") == "BILLABLE")
        .group_by("line_id")
        .agg(pl.col("marginal_revenue").sum())
    )
    rated = lake.scan("rated_lines", scope).filter(pl.col("problem").is_null()).select("line_id", "unrounded")
    both = rated.join(earned, on="line_id", how="inner").collect()
    wrong = both.filter(pl.col("unrounded") != pl.col("marginal_revenue"))["line_id"].head(_SHOWN).to_list()
    return Agreement(
        "events_make_the_line", "a line is the sum of what its events added", both.height, tuple(wrong)
    )


def edge_counters(session: Session, redis: Redis, lake: Lake, *, as_of: datetime) -> Agreement:
    """What the edge has counted is what the lake holds; events still in the log are counted already."""
    tenants = session.scalars(
        select(TenantRow.id).where(TenantRow.archived_at.is_(None)).order_by(TenantRow.id)
    )
    rights = [tenant_rights(session, tenant_id, as_of) for tenant_id in tenants]
    drifts = drift(
        counters=counters_of(redis, [each.tenant_id for each in rights]),
        periods=periods_of(rights),
        validated_events=lake.scan("validated_events"),
    )
    adrift = drifts.filter(pl.col("drift") != 0).head(_SHOWN).iter_rows(named=True)
    wrong = [f"{row['tenant_id']} {row['customer_id']} {row['unit']}: {row['drift']}" for row in adrift]
    return Agreement("edge_counters", "the edge has counted what the lake holds", drifts.height, tuple(wrong))
