"""A replay as a report. Put here: its JSON form and its page. Keep out: finding differences."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from html import escape
from typing import Any

import polars as pl

from domain.quantity import plain
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
    as_of = f"<p>With what was known at the end of {escape(told['asOf'])}.</p>" if told["asOf"] else ""
    lines = [
        {
            **{name: row[name] for name in _SHOWN},
            "changes": "; ".join(f"{c['field']} {c['billed']} → {c['replayed']}" for c in row["changes"]),
        }
        for row in told["differences"]
    ]
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>{as_of}<p>Code {escape(told['codeVersion'])}.</p>"
        f"<h2>Totals</h2>{_table(told['totals'])}<h2>Lines that differ</h2>{_table(lines)}"
        f"<h2>Invoices</h2>{_table(told['invoices'])}</html>"
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
_STYLE = "body{font:14px system-ui;margin:2rem}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left}"


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str('' if v is None else v))}</td>" for v in row.values()) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(value: Any) -> Any:
    return plain(value) if isinstance(value, Decimal) else value


def _instant(value: Any) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")
