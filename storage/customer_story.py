"""What happened to one customer's money in a month. Put here: the rows of every stage, told in order, as a page. Keep out: billing.

It reads what the last run left in the lake and works nothing out anew, so it shows what was billed and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from domain.errors import NotFound
from domain.period import parse_month
from domain.quantity import plain
from storage.lake import Lake
from storage.pages import page, table
from storage.scope import Scope
from transforms.frames import TABLES
from transforms.pipeline import STAGES

_LINE = ("description", "unit")
_TOLD: dict[str, tuple[str, ...]] = {
    "billing_terms": (
        "subscription_id", "offering", "plan", "plan_version", "kind", *_LINE, "model", "rate", "flat_amount", "included_free",
        "cap", "cap_behavior", "active_start", "active_end", "currency",
    ),
    "wallet_balances": ("wallet_id", "grant_id", "kind", "currency", "burn_order", "available", "expires_at"),
    "bonus_balances": ("unit", "wallet_id", "grant_id", "burn_order", "available", "effective_at", "expires_at"),
    "quota_checks": ("unit", "cap", "used", "beyond", "verdict", "events_beyond", "first_beyond_at"),
    "rollovers": ("unit", "carried", "unused", "from_month", "problem"),
    "usage_aggregates": ("unit", "aggregation", "disposition", "events", "late_events", "value", "first_at", "last_at"),
    "allowances": ("unit", "value", "included", "bonus", "billable", "beyond", "unused", "problem"),
    "rated_lines": ("line_type", *_LINE, "quantity", "included", "billable", "unrounded", "amount", "currency", "problem"),
    "committed_lines": (*_LINE, "amount", "commit_adjustment", "currency"),
    "discounted_lines": (*_LINE, "amount", "commit_adjustment", "discount", "currency"),
    "taxed_lines": (*_LINE, "taxable", "tax", "tax_included", "currency"),
    "routed_lines": (*_LINE, "taxable", "tax", "destination", "wallet_amount", "hold_reason", "currency"),
    "settlements": ("subtotal", "discount", "tax", "total", "wallet_amount", "amount_due", "currency"),
    "invoices": ("number", "status", "subtotal", "discount", "tax", "total", "wallet_amount", "amount_due", "currency"),
}  # fmt: skip
"""What a page shows of each table, where the table has it."""


class NothingToTell(NotFound):
    """The customer has no rows in the month."""

    code = "NOTHING_BILLED"
    exit_code = 2

    def __init__(self, tenant_id: str, customer_id: str, month: str) -> None:
        super().__init__(
            f"customer {customer_id!r} of tenant {tenant_id!r} has no terms and no usage in {month}; "
            "check the three, or bill the month first"
        )


@dataclass(frozen=True, slots=True)
class Chapter:
    """A table as it was left: what it says of the customer."""

    title: str
    doc: str
    rows: list[dict[str, Any]]


def story(lake: Lake, tenant_id: str, customer_id: str, month: str) -> list[Chapter]:
    """Terms, wallets, usage, each stage and the invoices of one customer, in order. Raises NotAMonth, NothingToTell."""
    parse_month(month)
    scope = Scope(month, (tenant_id,), (customer_id,))
    chapters = list(_chapters(lake, scope))
    if not any(chapter.rows for chapter in chapters):
        raise NothingToTell(tenant_id, customer_id, month)
    return chapters


def story_page(tenant_id: str, customer_id: str, month: str, chapters: list[Chapter]) -> str:
    """The chapters as a page that stands alone."""
    told = [(chapter.title, f"<p>{chapter.doc}</p>{table(chapter.rows, _NUMBERS)}") for chapter in chapters]
    note = f"Tenant {tenant_id}. What the last run of the month left, stage by stage; amounts are exact."
    return page(f"{customer_id}, {month}: from usage to invoice", note, *told)


def _chapters(lake: Lake, scope: Scope) -> Iterator[Chapter]:
    yield _chapter(lake, scope, "billing_terms", "Terms frozen for the month")
    yield _chapter(lake, scope, "wallet_balances", "What the wallets held")
    yield _chapter(lake, scope, "bonus_balances", "Bonus units in the wallets")
    yield Chapter(
        "Usage, day by day", "Metered events of the month and what they earned.", _usage(lake, scope)
    )
    for number, stage in enumerate(STAGES, start=1):
        yield _chapter(lake, scope, stage.makes, f"{number} {stage.name}")
    yield _chapter(lake, scope, "invoices", "Invoices")


def _chapter(lake: Lake, scope: Scope, name: str, title: str) -> Chapter:
    frame = lake.scan(name, scope).collect()
    order = [
        column for column in ("subscription_id", "line_order", "line_id", "unit") if column in frame.columns
    ]
    rows = frame.sort(order, nulls_last=True) if order else frame
    shown = [column for column in _TOLD[name] if column in rows.columns]
    return Chapter(title, TABLES[name].doc, [_row(row) for row in rows.select(shown).iter_rows(named=True)])


def _usage(lake: Lake, scope: Scope) -> list[dict[str, Any]]:
    days = (
        lake.scan("metered_events", scope)
        .group_by("unit", "disposition", day=pl.col("occurred_at").dt.strftime("%Y-%m-%d"))
        .agg(
            events=pl.len(),
            late=pl.col("late").sum(),
            quantity=pl.col("quantity").sum(),
            earned=pl.col("marginal_revenue").sum(),
        )
        .sort("unit", "day", "disposition")
        .select("unit", "day", "disposition", "events", "late", "quantity", "earned")
    )
    return [_row(row) for row in days.collect().iter_rows(named=True)]


_NUMBERS = (
    "amount", "available", "billable", "carried", "commit_adjustment", "discount", "earned", "events", "included", "quantity",
    "subtotal", "tax", "taxable", "total", "unrounded", "used", "value", "wallet_amount", "amount_due",
)  # fmt: skip


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return value.strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else value
