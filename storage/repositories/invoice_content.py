"""What an invoice says, as one text. Put here: the canonical form and its hash. Keep out: numbers, states, processing times.

The hash is over the bill itself: the same usage under the same terms gives the same hash whenever, wherever and however
often it is billed. Number and state are given to a bill, they are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.quantity import plain
from storage.tables.invoices import InvoiceLineRow
from transforms.frames import SETTLEMENTS

HEADER = tuple(SETTLEMENTS.schema)
"""The fields of an invoice that its content is made of."""
LINE = tuple(
    name
    for name in InvoiceLineRow.__table__.columns.keys()  # noqa: SIM118  (a column collection, not a dictionary)
    if name not in ("tenant_id", "invoice_id")
)
"""The fields of a line."""


def content_hash(header: Mapping[str, Any], lines: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 (hex) over the canonical JSON: sorted fields, decimals as their shortest text, instants in UTC."""
    said = {
        "invoice": {name: canonical(header[name]) for name in HEADER},
        "lines": [{name: canonical(line[name]) for name in LINE} for line in in_order(lines)],
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def in_order(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Lines as they stand on the invoice."""
    return sorted(
        lines, key=lambda line: (line["subscription_id"] or "", line["line_order"], line["line_id"])
    )


def canonical(value: Any) -> Any:
    """A value as JSON: the same text for the same value, whatever scale or time zone it came in."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {name: canonical(inner) for name, inner in value.items()}
    return value
