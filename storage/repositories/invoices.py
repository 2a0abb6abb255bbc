"""Invoices. Put here: numbering and writing what a run settled, reading invoices, their states. Keep out: sums, rules.

Numbers are gap-free per issuer and year: they come from a row that is locked until the transaction ends, and no number is
ever given back. An issued invoice is never edited.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from domain.errors import PermanentFailure
from storage.lake import Scope
from storage.repositories.invoice_content import HEADER, LINE, canonical, content_hash, in_order
from storage.tables.invoices import InvoiceLineRow, InvoiceRow, InvoiceSequenceRow
from storage.tables.tenants import BillingEntityRow

_AMOUNTS = ("subtotal", "discount", "tax", "total", "wallet_amount", "amount_due")
_LINE_COLUMNS = ("tenant_id", "invoice_id", *LINE)
Rows = pl.DataFrame | Sequence[dict[str, Any]]


class UnknownIssuer(PermanentFailure):
    """A settlement names a billing entity that does not exist."""

    code = "UNKNOWN_BILLING_ENTITY"

    def __init__(self, tenant_id: str, entity: str) -> None:
        super().__init__(
            f"billing_entity {entity!r} of tenant {tenant_id!r} does not exist; apply the tenant first"
        )


class LineWithoutSettlement(PermanentFailure):
    """A line names an invoice that was not settled with it."""

    code = "LINE_WITHOUT_SETTLEMENT"

    def __init__(self, line: dict[str, Any]) -> None:
        super().__init__(
            f"line {line['line_id']} is on invoice {line['invoice_id']}, which no settlement mentions"
        )


@dataclass(frozen=True, slots=True)
class _Bill:
    """A settlement with its lines and the hash of both."""

    header: dict[str, Any]
    lines: list[dict[str, Any]]
    content_hash: str

    @property
    def key(self) -> tuple[str, str]:
        return self.header["tenant_id"], self.header["invoice_id"]

    @property
    def sequence(self) -> tuple[str, str, int]:
        return self.header["tenant_id"], self.header["billing_entity"], int(self.header["month"][:4])


def settle(
    session: Session, settlements: Rows, lines: Rows, *, scope: Scope | None = None
) -> list[dict[str, Any]]:
    """Write a run's bills as numbered drafts; returns each settlement with `number, status, content_hash, differs`.

    settlements: rows of SETTLEMENTS. lines: rows of ROUTED_LINES; those without an invoice are left out. A bill that is
    the same changes nothing, a draft that differs is replaced under its number. An issued or voided invoice is left as it
    is: `differs` tells that the bill would no longer be the same (`content_hash` is the bill's). scope: with its month
    given, its drafts that are settled no more become VOID and keep their number; they come back when there is something
    to bill again. Runs in the session's transaction. Raises UnknownIssuer, LineWithoutSettlement.
    """
    bills = _bills(_dicts(settlements), _dicts(lines))
    next_number = _locked_sequences(session, {bill.sequence for bill in bills})
    stored = _stored(session, [bill.key for bill in bills])
    written: list[tuple[_Bill, str]] = []
    result = []
    for bill in bills:
        row = stored.get(bill.key)
        number = row.number if row else next_number.take(bill.sequence)
        is_draft = row is None or row.status == "DRAFT" or row.withdrawn
        differs = row is None or row.withdrawn or row.content_hash != bill.content_hash
        if is_draft and differs:
            written.append((bill, number))
        status = "DRAFT" if row is None or is_draft else row.status
        result.append({
            **bill.header, "number": number, "status": status, "content_hash": bill.content_hash,
            "differs": differs and not is_draft,
        })  # fmt: skip
    next_number.save()
    _write(session, written)
    if scope is not None and scope.month:
        _withdraw(session, scope, {bill.key for bill in bills})
    return result


def _dicts(rows: Rows) -> list[dict[str, Any]]:
    return rows.to_dicts() if isinstance(rows, pl.DataFrame) else list(rows)


def _bills(settlements: Iterable[dict[str, Any]], lines: Iterable[dict[str, Any]]) -> list[_Bill]:
    """Bills in the order they are numbered in: by tenant, customer, invoice id."""
    of_invoice: dict[tuple[str, str], list[dict[str, Any]]] = {}
    headers = {
        (row["tenant_id"], row["invoice_id"]): {name: row[name] for name in HEADER} for row in settlements
    }
    for line in lines:
        if line["invoice_id"] is None:
            continue
        key = (line["tenant_id"], line["invoice_id"])
        if key not in headers:
            raise LineWithoutSettlement(line)
        of_invoice.setdefault(key, []).append(line)
    ordered = sorted(
        headers.items(), key=lambda item: (item[1]["tenant_id"], item[1]["customer_id"], item[0][1])
    )
    return [
        _Bill(header, found := of_invoice.get(key, []), content_hash(header, found))
        for key, header in ordered
    ]


class _Sequences:
    """Numbers of sequences whose rows this transaction holds locked."""

    def __init__(
        self, session: Session, rows: Iterable[InvoiceSequenceRow], prefixes: dict[tuple[str, str], str]
    ):
        self._session = session
        self._rows = {(row.tenant_id, row.billing_entity, row.year): row for row in rows}
        self._prefixes = prefixes

    def take(self, sequence: tuple[str, str, int]) -> str:
        row = self._rows[sequence]
        row.last_number += 1
        return f"{self._prefixes[sequence[:2]]}-{row.year}-{row.last_number:04d}"

    def save(self) -> None:
        self._session.flush()


def _locked_sequences(session: Session, wanted: set[tuple[str, str, int]]) -> _Sequences:
    """Lock the sequences, always in the same order so that two runs cannot wait for each other."""
    if not wanted:
        return _Sequences(session, [], {})
    keys = tuple_(BillingEntityRow.tenant_id, BillingEntityRow.id)
    entities = session.scalars(select(BillingEntityRow).where(keys.in_({each[:2] for each in wanted})))
    prefixes = {(row.tenant_id, row.id): row.invoice_prefix for row in entities}
    for tenant_id, entity, _ in sorted(wanted):
        if (tenant_id, entity) not in prefixes:
            raise UnknownIssuer(tenant_id, entity)
    new = [{"tenant_id": t, "billing_entity": e, "year": y, "last_number": 0} for t, e, y in sorted(wanted)]
    session.execute(upsert(InvoiceSequenceRow).values(new).on_conflict_do_nothing())
    table = InvoiceSequenceRow
    key = tuple_(table.tenant_id, table.billing_entity, table.year)
    query = select(table).where(key.in_(wanted)).order_by(table.tenant_id, table.billing_entity, table.year)
    rows = session.scalars(query.with_for_update(), execution_options={"populate_existing": True}).all()
    return _Sequences(session, rows, prefixes)


def _stored(session: Session, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    columns = (
        InvoiceRow.tenant_id,
        InvoiceRow.id,
        InvoiceRow.number,
        InvoiceRow.status,
        InvoiceRow.withdrawn,
    )
    found = {}
    for start in range(0, len(keys), 5000):
        some = tuple_(InvoiceRow.tenant_id, InvoiceRow.id).in_(keys[start : start + 5000])
        # Locked, so that nobody issues a draft while it is being replaced.
        query = select(*columns, InvoiceRow.content_hash).where(some).order_by(*columns[:2]).with_for_update()
        found.update({(row.tenant_id, row.id): row for row in session.execute(query)})
    return found


def _write(session: Session, bills: list[tuple[_Bill, str]]) -> None:
    """Insert or replace drafts with their lines."""
    if not bills:
        return
    statement = upsert(InvoiceRow)
    rows = [
        {
            **{("id" if name == "invoice_id" else name): value for name, value in bill.header.items()},
            "number": number,
            "content_hash": bill.content_hash,
            "status": "DRAFT",
            "withdrawn": False,
            "void_reason": None,
            "voided_at": None,
        }
        for bill, number in bills
    ]
    updated: dict[str, Any] = {
        name: statement.excluded[name] for name in rows[0] if name not in ("tenant_id", "id")
    }
    updated["updated_at"] = func.now()
    session.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=updated), rows)
    _delete_lines(session, [bill.key for bill, _ in bills])
    _copy_lines(session, (line for bill, _ in bills for line in bill.lines))


def _delete_lines(session: Session, keys: list[tuple[str, str]]) -> None:
    for start in range(0, len(keys), 5000):
        some = tuple_(InvoiceLineRow.tenant_id, InvoiceLineRow.invoice_id).in_(keys[start : start + 5000])
        session.execute(delete(InvoiceLineRow).where(some).execution_options(synchronize_session=False))


def _copy_lines(session: Session, lines: Iterable[dict[str, Any]]) -> None:
    """COPY, because a month of many customers has a hundred thousand lines."""
    driver = session.connection().connection.driver_connection
    assert driver is not None
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY invoice_lines ({', '.join(_LINE_COLUMNS)}) FROM STDIN") as copy,
    ):
        for line in lines:
            tiers = None if line["tiers"] is None else json.dumps(canonical(line["tiers"]))
            copy.write_row([tiers if name == "tiers" else line[name] for name in _LINE_COLUMNS])


def _withdraw(session: Session, scope: Scope, settled: set[tuple[str, str]]) -> None:
    """Drafts of the scope that no run settles any more: void, empty, their number kept."""
    query = select(InvoiceRow).where(InvoiceRow.month == scope.month, InvoiceRow.status == "DRAFT")
    if scope.tenants:
        query = query.where(InvoiceRow.tenant_id.in_(scope.tenants))
    if scope.customers:
        query = query.where(InvoiceRow.customer_id.in_(scope.customers))
    fresh = query.with_for_update().execution_options(populate_existing=True)
    gone = [row for row in session.scalars(fresh) if (row.tenant_id, row.id) not in settled]
    if not gone:
        return
    for row in gone:
        for name in _AMOUNTS:
            setattr(row, name, 0)
        row.lines = 0
        row.status, row.withdrawn = "VOID", True
        row.void_reason = f"a rerun of {scope.month} found nothing to bill"
        row.content_hash = content_hash({**as_dict(row), "invoice_id": row.id}, [])
    session.execute(
        update(InvoiceRow)
        .where(tuple_(InvoiceRow.tenant_id, InvoiceRow.id).in_([(row.tenant_id, row.id) for row in gone]))
        .values(voided_at=func.now(), updated_at=func.now())
        .execution_options(synchronize_session=False)
    )
    _delete_lines(session, [(row.tenant_id, row.id) for row in gone])


def as_dict(row: InvoiceRow | InvoiceLineRow) -> dict[str, Any]:
    """A row's columns by name."""
    return {column.name: getattr(row, column.key) for column in row.__table__.columns}


def lines_of(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """The invoice's lines in order, each with all its columns."""
    query = select(InvoiceLineRow).where(
        InvoiceLineRow.tenant_id == invoice.tenant_id, InvoiceLineRow.invoice_id == invoice.id
    )
    return [dict(line) for line in in_order(as_dict(row) for row in session.scalars(query))]
