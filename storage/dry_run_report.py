"""What a month would be billed as. Put here: its JSON form and its page. Keep out: working it out (dry_run.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from domain.quantity import plain
from domain.spelling import on_the_wire
from storage.pages import page, table

_LINE = (
    "line_id", "subscription_id", "line_type", "description", "unit", "quantity", "included", "billable", "amount",
    "commit_adjustment", "discount", "taxable", "tax", "wallet_amount", "destination",
)  # fmt: skip
_INVOICE = (
    "tenant_id", "customer_id", "currency", "period_start", "period_end", "lines", "subtotal", "discount", "tax", "total",
    "wallet_amount", "amount_due",
)  # fmt: skip


def report(
    month: str, tables: Mapping[str, pl.DataFrame], gates: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The bills with their lines, who would be held and why, rows per table and what the gates say; decimals as exact text."""
    routed = tables["routed_lines"]
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in routed.filter(pl.col("invoice_id").is_not_null()).iter_rows(named=True):
        lines.setdefault(row["invoice_id"], []).append(_told({name: row[name] for name in _LINE}))
    settled = tables["settlements"].sort("tenant_id", "customer_id", "currency", nulls_last=True)
    invoices = [
        {**_told({name: row[name] for name in _INVOICE}), "lineItems": lines.get(row["invoice_id"], [])}
        for row in settled.iter_rows(named=True)
    ]
    return {
        "month": month,
        "environment": "TEST",
        "invoices": invoices,
        "held": held(routed),
        "totals": _totals(settled),
        "rows": {name: frame.height for name, frame in tables.items()},
        "gates": [dict(gate) for gate in gates],
    }


def held(routed_lines: pl.DataFrame) -> list[dict[str, Any]]:
    """Customers that are not billed, and why; by tenant and customer."""
    rows = routed_lines.filter(destination="HELD").select("tenant_id", "customer_id", reason="hold_reason")
    return [_told(row) for row in rows.unique().sort(pl.all()).iter_rows(named=True)]


def dry_run_page(told: Mapping[str, Any]) -> str:
    """The report as a page that stands alone."""
    invoices = [
        {name: value for name, value in each.items() if name != "lineItems"} for each in told["invoices"]
    ]
    lines = [
        {"customerId": each["customerId"], **line} for each in told["invoices"] for line in each["lineItems"]
    ]
    return page(
        f"Dry run of {told['month']}",
        "Nothing of this was posted.",
        ("Totals", table(told["totals"])),
        ("Not billed", table(told["held"])),
        ("Gates that would stop the run", table([each for each in told["gates"] if not each["passed"]])),
        ("Invoices", table(invoices)),
        ("Lines", table(lines)),
    )


def _totals(settled: pl.DataFrame) -> list[dict[str, Any]]:
    sums = settled.group_by("tenant_id", "currency").agg(
        pl.len().alias("invoices"),
        pl.col("subtotal", "discount", "tax", "total", "wallet_amount", "amount_due").sum(),
    )
    return [_told(row) for row in sums.sort("tenant_id", "currency", nulls_last=True).iter_rows(named=True)]


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in the wire's words."""
    return {on_the_wire(name): _text(value) for name, value in row.items()}


def _text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
