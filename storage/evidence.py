"""An invoice with everything that proves it, in one signed archive. Put here: gathering, packing and signing. Keep out: verifying
(evidence_verify, which goes into the archive as it is), judging gates (expectations).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy.orm import Session

from domain.errors import Conflict
from domain.invoice_life import PERIOD
from storage.event_macs import NO_KEYS, EventKeys
from storage.evidence_key import signature_of
from storage.evidence_verify import event_hash
from storage.lake import Lake
from storage.raw_macs import macs_of, misfits
from storage.replay import Known, recompute, terms_of
from storage.repositories.invoice_content import content_hash, content_text
from storage.repositories.invoice_states import as_dict, lines_of, locate
from storage.scope import Scope
from storage.tables.invoices import InvoiceRow
from transforms.frames import METERED_EVENTS
from transforms.inputs import input_hashes
from transforms.table import INSTANT

_EVENT = (
    "line_id", "raw_seq", "idempotency_key", "unit", "occurred_at", "quantity", "late", "correction", "disposition",
    "running_total", "marginal_revenue", "mac",
)  # fmt: skip
_EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)


class EvidenceChanged(Conflict):
    """What the invoice was made from cannot be found again, so nothing is proved."""

    code = "EVIDENCE_CHANGED"
    exit_code = 3

    def __init__(self, number: str, what: str) -> None:
        super().__init__(
            f"invoice {number}: {what}, so there is no evidence to give; `aforo replay` shows what differs"
        )


@dataclass(frozen=True)
class Found:
    """What an invoice was made from: the invoice, its lines, its metered events and its terms."""

    invoice: InvoiceRow
    lines: list[dict[str, Any]]
    events: pl.DataFrame
    terms: pl.DataFrame

    @property
    def scope(self) -> Scope:
        return Scope(self.invoice.month, (self.invoice.tenant_id,), (self.invoice.customer_id,))


def find(
    session: Session, lake: Lake, reference: str, tenant_id: str | None = None, keys: EventKeys = NO_KEYS
) -> Found:
    """What proves an invoice, checked against its hashes, and its events against the MACs they came with. Late events that came
    after it was billed are left out. keys: those of this installation.

    Raises InvoiceNotFound, AmbiguousInvoice, EvidenceChanged.
    """
    row = locate(session, reference, tenant_id)
    lines = lines_of(session, row)
    header = {**as_dict(row), "invoice_id": row.id}
    if content_hash(header, lines) != row.content_hash:
        raise EvidenceChanged(row.number, "its stored content does not have its content hash")
    if row.input_hash is None or row.code_version is None:
        raise EvidenceChanged(row.number, "it was billed before inputs were recorded")
    scope = Scope(row.month, (row.tenant_id,), (row.customer_id,))
    terms = terms_of(session, lake, scope)
    events = lake.scan("metered_events", scope).collect()
    taken = {name: lake.scan(name, scope).collect() for name in ("routed_lines", "rollovers")}
    if _hash_of(row, lines, events, terms, taken) != row.input_hash:
        events = _as_billed(lake, row, lines, terms)
    own = events.filter(pl.col("line_id").is_in([line["line_id"] for line in lines]))
    macs = macs_of(lake, row.tenant_id, own["raw_seq"])
    wrong = misfits(macs, keys)
    if wrong:
        raise EvidenceChanged(row.number, f"raw event {wrong[0]} is not as it came in: its MAC does not fit")
    own = own.join(macs.select("raw_seq", "mac"), on="raw_seq", how="left", maintain_order="left")
    return Found(row, lines, own.sort("line_id", "occurred_at", "key_hash"), terms)


def _as_billed(lake: Lake, row: InvoiceRow, lines: list[dict[str, Any]], terms: pl.DataFrame) -> pl.DataFrame:
    """The metered events as they were known when the invoice was billed: up to its newest event, or, since a voided event leaves
    no trace on it, up to an act upon one of the customer's events after that. Each is a replay, so the likeliest is asked first: the
    newest act that had been received when the invoice was written. Raises EvidenceChanged."""
    scope = Scope(row.month, (row.tenant_id,), (row.customer_id,))
    until = row.raw_until or 0
    later = (pl.col("act").is_not_null(), pl.col("raw_seq") > until)
    acts = lake.scan("validated_events", Scope(None, scope.tenants, scope.customers)).filter(*later)
    known = pl.col("received_at") <= (row.finalized_at or row.updated_at).astimezone(UTC)
    found = acts.select("raw_seq", known=known).collect().sort("known", "raw_seq", descending=True)
    for place in [until, *found["raw_seq"]]:
        again = recompute(lake, terms, scope, Known(raw_until=place))
        if _hash_of(row, lines, again.metered_events, terms, again.tables) == row.input_hash:
            return again.metered_events
    raise EvidenceChanged(row.number, "its events or terms are no longer those it was billed from")


def _hash_of(
    row: InvoiceRow,
    lines: list[dict[str, Any]],
    events: pl.DataFrame,
    terms: pl.DataFrame,
    taken: Mapping[str, pl.DataFrame],
) -> str:
    """taken: ROUTED_LINES, for what they draw from wallets, and ROLLOVERS, for the units carried in."""
    routed = pl.DataFrame(
        [{"tenant_id": row.tenant_id, "invoice_id": row.id, "line_id": line["line_id"]} for line in lines],
        schema={"tenant_id": pl.String, "invoice_id": pl.String, "line_id": pl.String},
    )
    if row.kind == PERIOD:
        paid = taken["routed_lines"].select("tenant_id", "line_id", "wallet_payments", "bonus_draws")
        routed = routed.join(paid, on=["tenant_id", "line_id"], how="left", maintain_order="left")
    made = input_hashes(
        metered_events=METERED_EVENTS.conform(events).lazy(),
        terms=terms,
        routed_lines=routed,
        rollovers=taken["rollovers"],
        code=row.code_version or "",
    )
    return "" if made.is_empty() else str(made["input_hash"][0])


def archive(found: Found, gates: Mapping[str, Any], home: Path) -> bytes:
    """The archive as a zip: the same invoice gives the same bytes. gates: asset to {passed, …}."""
    row = found.invoice
    own = found.terms.filter(pl.col("line_id").is_in([line["line_id"] for line in found.lines]))
    header = {**as_dict(row), "invoice_id": row.id}
    script = Path(__file__).with_name("evidence_verify.py")
    files = {
        "content.json": content_text(header, found.lines).encode(),
        "events.ndjson": _events(found.events),
        "terms.ndjson": own.sort("line_id").write_ndjson().encode(),
        "gates.json": _json(gates),
        "verify.py": script.read_bytes(),
    }
    files["manifest.json"] = _json(
        {
            "tenantId": row.tenant_id,
            "invoiceId": row.id,
            "number": row.number,
            "month": row.month,
            "currency": row.currency,
            "total": format(row.total.normalize(), "f"),
            "contentHash": row.content_hash,
            "inputHash": row.input_hash,
            "codeVersion": row.code_version,
            "eventsWithMac": found.events["mac"].count(),
            "files": {name: sha256(data).hexdigest() for name, data in sorted(files.items())},
        }
    )
    files["signature.json"] = _json(signature_of(home, files["manifest.json"]))
    return _zip(files)


def _events(events: pl.DataFrame) -> bytes:
    shown = events.select(_EVENT).with_columns(
        pl.col("occurred_at").cast(INSTANT).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        pl.col("quantity", "running_total", "marginal_revenue").cast(pl.String),
    )
    rows = (row | {"sha256": event_hash(row)} for row in shown.iter_rows(named=True))
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, default=str) + "\n").encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in sorted(files.items()):
            target.writestr(zipfile.ZipInfo(name, _EPOCH_OF_ZIP), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
