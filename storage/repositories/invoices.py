"""Invoices. Put here: numbering and writing what a run settled. Keep out: sums, reading and states (invoice_states.py).

Numbers are gap-free per issuer and year: they come from a row that is locked until the transaction ends, and no number is
ever given back. An issued invoice is never edited.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import polars as pl
from sqlalchemy import delete, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from domain.errors import PermanentFailure
from domain.invoice_life import DRAFT, PERIOD
from domain.invoice_number import invoice_number
from storage.repositories.among import among_pairs
from storage.repositories.invoice_content import (
    INSTANT,
    LINE_SCHEMA,
    STRUCTS,
    content_hash,
    content_hashes,
    structs_json,
)
from storage.repositories.invoice_states import as_dict
from storage.repositories.wallet_billing import pay, payments_of
from storage.scope import Scope
from storage.tables.invoices import InvoiceLineRow, InvoiceRow, InvoiceSequenceRow
from storage.tables.taxes import TAX_COLUMNS, InvoiceTaxRow
from storage.tables.tenants import BillingEntityRow
from transforms.frames import SETTLEMENTS
from transforms.inputs import INPUTS
from transforms.invoice_taxes import invoice_taxes

_AMOUNTS = ("subtotal", "discount", "tax", "total", "wallet_amount", "amount_due")
_KEY = ["tenant_id", "invoice_id"]
_OUTCOME = {"number": pl.String, "status": pl.String, "differs": pl.Boolean, "written": pl.Boolean}
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

    def __init__(self, line_id: str, invoice_id: str) -> None:
        super().__init__(f"line {line_id} is on invoice {invoice_id}, which no settlement mentions")


def settle(
    session: Session,
    settlements: Rows,
    lines: Rows,
    *,
    scope: Scope | None = None,
    inputs: pl.DataFrame | None = None,
) -> list[dict[str, Any]]:
    """Write a run's bills as numbered drafts; returns each settlement with `number, status, content_hash, differs`.

    settlements: rows of SETTLEMENTS. lines: rows of ROUTED_LINES; those without an invoice are left out. A bill that is
    the same changes nothing, a draft that differs is replaced under its number. An issued or voided invoice is left as it
    is: `differs` tells that the bill would no longer be the same (`content_hash` is the bill's). scope: with its month
    given, its drafts that are settled no more become VOID and keep their number; they come back when there is something
    to bill again. inputs: INPUTS of the invoices; a draft is told when it was made from others. What wallets pay of drafts is booked
    with them. Runs in the session's transaction. Raises UnknownIssuer, LineWithoutSettlement, PaymentsDiffer, WalletMoved.
    """
    invoiced = _frame(lines, LINE_SCHEMA).filter(pl.col("invoice_id").is_not_null())
    bills = _frame(settlements, SETTLEMENTS.schema).sort("tenant_id", "customer_id", "invoice_id")
    _require_settlements(invoiced, bills)
    payments = payments_of(bills, lines)
    bills = bills.with_columns(content_hash=pl.Series(content_hashes(bills, invoiced), dtype=pl.String))
    bills = bills.join(
        pl.DataFrame(schema=INPUTS) if inputs is None else inputs, on=_KEY, how="left", maintain_order="left"
    )
    sequences, keys = _sequences(bills), bills.select(_KEY).rows()
    numbers = _locked_numbers(session, set(sequences))
    stored = _stored(session, keys)
    outcomes = [
        _outcome(stored.get(key), content, made_from, sequence, numbers)
        for key, content, made_from, sequence in zip(
            keys, bills["content_hash"], bills["input_hash"], sequences, strict=True
        )
    ]
    session.flush()
    numbered = bills.with_columns(pl.DataFrame(outcomes, schema=_OUTCOME, orient="row"))
    _write(session, numbered.filter("written").drop("written", "differs"), invoiced, replaced=set(stored))
    drafts = {
        key: payments.get(key, {}) for key in numbered.filter(pl.col("status") == DRAFT).select(_KEY).rows()
    }
    pay(session, drafts)
    if scope is not None and scope.month:
        _withdraw(session, scope, set(keys))
    return numbered.drop("written").to_dicts()


def _frame(rows: Rows, schema: Any) -> pl.DataFrame:
    if isinstance(rows, pl.DataFrame):
        return rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    return pl.DataFrame(rows, schema=schema)


def _require_settlements(lines: pl.DataFrame, bills: pl.DataFrame) -> None:
    orphans = lines.join(bills, on=_KEY, how="anti")
    if not orphans.is_empty():
        raise LineWithoutSettlement(*orphans.select("line_id", "invoice_id").row(0))


def _sequences(bills: pl.DataFrame) -> list[tuple[str, str, int]]:
    """Which sequence numbers each bill: its issuer's of the year its period ends in."""
    year = pl.col("month").str.slice(0, 4).cast(pl.Int64)
    return bills.select("tenant_id", "billing_entity", year).rows()


class _Numbers:
    """Numbers of sequences whose rows this transaction holds locked."""

    def __init__(
        self, rows: Iterable[InvoiceSequenceRow], styles: dict[tuple[str, str], tuple[str, str]]
    ) -> None:
        self._rows = {(row.tenant_id, row.billing_entity, row.year): row for row in rows}
        self._styles = styles

    def take(self, sequence: tuple[str, str, int]) -> str:
        row = self._rows[sequence]
        row.last_number += 1
        return invoice_number(*self._styles[sequence[:2]], row.year, row.last_number)


def _locked_numbers(session: Session, wanted: set[tuple[str, str, int]]) -> _Numbers:
    """Lock the sequences, always in the same order so that two runs cannot wait for each other."""
    if not wanted:
        return _Numbers([], {})
    keys = tuple_(BillingEntityRow.tenant_id, BillingEntityRow.id)
    entities = session.scalars(select(BillingEntityRow).where(keys.in_({each[:2] for each in wanted})))
    styles = {(row.tenant_id, row.id): (row.number_format, row.invoice_prefix) for row in entities}
    for tenant_id, entity, _ in sorted(wanted):
        if (tenant_id, entity) not in styles:
            raise UnknownIssuer(tenant_id, entity)
    new = [{"tenant_id": t, "billing_entity": e, "year": y, "last_number": 0} for t, e, y in sorted(wanted)]
    session.execute(upsert(InvoiceSequenceRow).values(new).on_conflict_do_nothing())
    table = InvoiceSequenceRow
    key = tuple_(table.tenant_id, table.billing_entity, table.year)
    query = select(table).where(key.in_(wanted)).order_by(table.tenant_id, table.billing_entity, table.year)
    rows = session.scalars(query.with_for_update(), execution_options={"populate_existing": True}).all()
    return _Numbers(rows, styles)


def write_bill(session: Session, bill: pl.DataFrame, lines: pl.DataFrame, *, kind: str) -> str:
    """Write one bill that no run of a month makes, as a draft under the next number, which is returned.

    bill: one row of SETTLEMENTS with the rest of INPUTS. lines: its ROUTED_LINES. Raises UnknownIssuer.
    """
    invoiced = _frame(lines, LINE_SCHEMA)
    (sequence,) = _sequences(bill)
    number = _locked_numbers(session, {sequence}).take(sequence)
    session.flush()
    content = pl.Series(content_hashes(bill.select(*SETTLEMENTS.schema), invoiced), dtype=pl.String)
    said = {"number": pl.lit(number), "status": pl.lit(DRAFT), "kind": pl.lit(kind)}
    _write(session, bill.with_columns(content_hash=content, **said), invoiced, replaced=set())
    return number


def next_number(session: Session, tenant_id: str, entity: str, year: int) -> str:
    """The next number of an issuer's invoices of a year, for one made by hand. Raises UnknownIssuer."""
    sequence = (tenant_id, entity, year)
    number = _locked_numbers(session, {sequence}).take(sequence)
    session.flush()
    return number


def _stored(session: Session, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    columns = (
        InvoiceRow.tenant_id,
        InvoiceRow.id,
        InvoiceRow.number,
        InvoiceRow.status,
        InvoiceRow.withdrawn,
    )
    # Locked, so that nobody issues a draft while it is being replaced.
    query = (
        select(*columns, InvoiceRow.content_hash, InvoiceRow.input_hash)
        .where(among_pairs(InvoiceRow.tenant_id, InvoiceRow.id, keys))
        .order_by(*columns[:2])
        .with_for_update(of=InvoiceRow)
    )
    return {(row.tenant_id, row.id): row for row in session.execute(query)}


def _outcome(
    row: Any, content: str, made_from: str | None, sequence: tuple[str, str, int], numbers: _Numbers
) -> tuple[str, str, bool, bool]:
    """Number, status, whether an issued invoice would differ, and whether the bill is to be written."""
    if row is None:
        return numbers.take(sequence), DRAFT, False, True
    same = row.content_hash == content and not row.withdrawn
    if row.status == DRAFT or row.withdrawn:
        return row.number, DRAFT, False, not same or row.input_hash != made_from
    return row.number, row.status, not same, False


def _write(
    session: Session, bills: pl.DataFrame, lines: pl.DataFrame, *, replaced: Collection[tuple[str, str]]
) -> None:
    """Insert or replace drafts with their lines. By COPY, in order of the primary key: a month of many customers has a hundred
    thousand lines. replaced: the invoices that have lines already."""
    if bills.is_empty():
        return
    rows = bills.rename({"invoice_id": "id"}).with_columns(withdrawn=pl.lit(False)).sort("tenant_id", "id")
    session.execute(text("CREATE TEMP TABLE new_invoices (LIKE invoices INCLUDING DEFAULTS) ON COMMIT DROP"))
    _copy(session, "new_invoices", rows)
    columns = [*rows.columns, "void_reason", "voided_at"]
    names = ", ".join(columns)
    news = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in ("tenant_id", "id"))
    session.execute(
        text(
            f"INSERT INTO invoices ({names}) SELECT {names} FROM new_invoices "
            f"ON CONFLICT (tenant_id, id) DO UPDATE SET {news}, updated_at = now()"
        )
    )
    session.execute(text("DROP TABLE new_invoices"))
    session.expire_all()
    keys = bills.select(_KEY)
    _delete_lines(session, [key for key in keys.rows() if key in replaced])
    own = lines.join(keys, on=_KEY, how="semi")
    texts = own.with_columns(**{name: structs_json(name) for name in STRUCTS})
    _copy(session, "invoice_lines", texts.sort(*_KEY, "line_id"))
    _copy(session, "invoice_taxes", invoice_taxes(own).select(*TAX_COLUMNS))


def _copy(session: Session, table: str, rows: pl.DataFrame) -> None:
    driver = session.connection().connection.driver_connection
    assert driver is not None
    statement = f"COPY {table} ({', '.join(rows.columns)}) FROM STDIN (FORMAT csv)"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(rows.write_csv(include_header=False, datetime_format=INSTANT))


def _delete_lines(session: Session, keys: list[tuple[str, str]]) -> None:
    if not keys:
        return
    for table in (InvoiceLineRow, InvoiceTaxRow):
        mine = among_pairs(table.tenant_id, table.invoice_id, keys)
        session.execute(delete(table).where(mine).execution_options(synchronize_session=False))


def _withdraw(session: Session, scope: Scope, settled: set[tuple[str, str]]) -> None:
    """Drafts of the scope that no run settles any more: void, empty, their number kept."""
    drafts = InvoiceRow.month == scope.month, InvoiceRow.status == DRAFT, InvoiceRow.kind == PERIOD
    query = select(InvoiceRow.tenant_id, InvoiceRow.id).where(*drafts)
    if scope.tenants:
        query = query.where(InvoiceRow.tenant_id.in_(scope.tenants))
    if scope.customers:
        query = query.where(InvoiceRow.customer_id.in_(scope.customers))
    left = [key for key in session.execute(query).tuples() if key not in settled]
    if not left:
        return
    mine = among_pairs(InvoiceRow.tenant_id, InvoiceRow.id, left)
    fresh = select(InvoiceRow).where(*drafts, mine).with_for_update(of=InvoiceRow)
    gone = session.scalars(fresh, execution_options={"populate_existing": True}).all()
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
    pay(session, {(row.tenant_id, row.id): {} for row in gone})
