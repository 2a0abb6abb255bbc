"""A replay as a report. Put here: its JSON form and its page. Keep out: finding differences."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from domain.quantity import plain
from storage.pages import page as standing_alone
from storage.pages import table
from storage.replay import Replay
from transforms.compare import findings

VERDICTS = ("EQUAL", "CHANGED", "MISSING", "EXTRA", "VOIDED", "HELD")


def report(found: Replay, *, as_of: str | None = None) -> dict[str, Any]:
    """What a replay found, as JSON: decimals as exact text."""
    return {
        "month": found.month,
        "asOf": as_of,
        "codeVersion": found.code,
        "equal": found.is_equal,
        "totals": _totals(found.lines),
        "differences": differences(found.lines),
        "invoices": [
            {"tenantId": tenant, "invoiceId": invoice, "number": number, "sameInputs": same}
            for tenant, invoice, number, same in found.invoices.iter_rows()
        ],
    }


def differences(lines: pl.DataFrame) -> list[dict[str, Any]]:
    """The lines that are not equal, each with what it was billed as and what it comes to."""
    return [_difference(row) for row in findings(lines).iter_rows(named=True)]


def _difference(row: Mapping[str, Any]) -> dict[str, Any]:
    changes = [
        {"field": name, "billed": _text(row[name]), "replayed": _text(row[f"{name}_replayed"])}
        for name in row["changed"]
    ]
    return {
        "tenantId": row["tenant_id"],
        "customerId": row["customer_id"],
        "subscriptionId": row["subscription_id"],
        "invoiceId": row["invoice_id"],
        "number": row["number"],
        "status": row["status"],
        "lineId": row["line_id"],
        "description": row["description"],
        "unit": row["unit"],
        "periodStart": _instant(row["period_start"]),
        "periodEnd": _instant(row["period_end"]),
        "currency": row["currency"],
        "verdict": row["verdict"],
        "billed": _text(row["billed"]),
        "adjusted": _text(row["adjusted"]),
        "replayed": _text(row["replayed"]),
        "difference": _text(row["difference"]),
        "holdReason": row["hold_reason"],
        "changes": changes,
    }


def _totals(lines: pl.DataFrame) -> list[dict[str, Any]]:
    counts = {name.lower(): (pl.col("verdict") == name).sum() for name in VERDICTS}
    sums = (
        lines.group_by("tenant_id", "currency")
        .agg(
            pl.len().alias("lines"),
            **counts,
            **{n: pl.col(n).sum() for n in ("billed", "adjusted", "replayed", "difference")},
        )
        .sort("tenant_id", "currency", nulls_last=True)
    )
    rows = sums.rename({"tenant_id": "tenantId"}).iter_rows(named=True)
    return [
        {name: _text(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in rows
    ]


def page(told: Mapping[str, Any]) -> str:
    """The report as a page that stands alone."""
    title = f"Replay of {told['month']}: {'equal' if told['equal'] else 'different'}"
    lines = [
        {
            **{name: row[name] for name in _SHOWN},
            "changes": "; ".join(f"{c['field']} {c['billed']} → {c['replayed']}" for c in row["changes"]),
        }
        for row in told["differences"]
    ]
    known = f"With what was known at the end of {told['asOf']}. " if told["asOf"] else ""
    return standing_alone(
        title,
        f"{known}Code {told['codeVersion']}.",
        ("Totals", table(told["totals"])),
        ("Lines that differ", table(lines)),
        ("Invoices", table(told["invoices"])),
    )


_SHOWN = (
    "tenantId",
    "customerId",
    "number",
    "description",
    "verdict",
    "billed",
    "adjusted",
    "replayed",
    "difference",
    "holdReason",
)


def _text(value: Any) -> Any:
    return plain(value) if isinstance(value, Decimal) else value


def _instant(value: Any) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")
