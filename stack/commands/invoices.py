"""`aforo invoices` and `aforo show`. Put here: what a person sees of invoices. Keep out: their rules (storage, domain)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.console import emit, out

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table
    from sqlalchemy.orm import Session

    from domain.invoice_document import InvoiceDocument
    from storage.tables.invoices import InvoiceRow

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant.")]
Number = Annotated[str, typer.Argument(help="The invoice's number or id.")]
_WIDE = 120
"""Columns of a terminal from which on the ids are shown too; --json always has them."""
STATUS_COLOURS = {
    "DRAFT": "yellow", "OPEN": "cyan", "PAID": "green", "OVERDUE": "red", "UNCOLLECTIBLE": "red", "VOID": "dim",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="List invoices; finalize, pay or void one.", invoke_without_command=True)
    group.callback(epilog="Example: aforo invoices --month 2023-11 --status DRAFT")(invoices)
    group.command(epilog="Example: aforo invoices finalize INV-2023-0001")(finalize)
    group.command(epilog="Example: aforo invoices pay INV-2023-0001")(pay)
    group.command(epilog="Example: aforo invoices void INV-2023-0001 --reason 'wrong customer'")(void)
    app.add_typer(group, name="invoices")
    app.command(epilog="Example: aforo show INV-2023-0001 --pdf invoice.pdf")(show)


def invoices(
    ctx: typer.Context,
    tenant: Tenant = None,
    customer: Annotated[str | None, typer.Option(help="Only this customer.")] = None,
    month: Annotated[str | None, typer.Option(help="Only this billing month, YYYY-MM.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only DRAFT, OPEN, OVERDUE, UNCOLLECTIBLE, PAID or VOID.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List invoices."""
    if ctx.invoked_subcommand is not None:
        return
    from domain.period import parse_month
    from stack.settings import connected
    from storage.database import session_scope
    from storage.repositories.invoice_states import STATUSES, Wanted, find_invoices

    if month is not None:
        parse_month(month)
    if status is not None and status.upper() not in STATUSES:
        raise typer.BadParameter(f"{status!r} is not one of {', '.join(STATUSES)}", param_hint="--status")
    wanted = Wanted(tenant, customer, month, status.upper() if status else None)
    with session_scope(connected().database_url) as session:
        found = find_invoices(session, wanted)
    if as_json:
        emit([header(row) for row in found])
    elif found:
        out.print(invoice_table(found))
    else:
        out.print("No invoices. `aforo bill YYYY-MM` makes them.")


def finalize(number: Number, tenant: Tenant = None, as_json: Json = False) -> None:
    """Issue a draft: DRAFT becomes OPEN, and the invoice is never edited again."""
    _move("finalize", number, tenant, as_json)


def pay(number: Number, tenant: Tenant = None, as_json: Json = False) -> None:
    """Record an open invoice as paid."""
    _move("pay", number, tenant, as_json)


def void(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why; kept on the invoice and in the audit log.")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Void an open invoice; it keeps its number."""
    _move("void", number, tenant, as_json, reason)


def show(
    invoice: Number,
    tenant: Tenant = None,
    events: Annotated[
        str | None, typer.Option(metavar="LINE", help="List the events behind this line, by its id or unit.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many events to list.")] = 20,
    pdf: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as PDF to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Show an invoice: its lines, their tiers, and with --events the events behind a line."""
    from stack.settings import connected
    from storage.database import session_scope
    from storage.repositories.invoice_states import lines_of, locate

    addresses = connected()
    with session_scope(addresses.database_url) as session:
        row = locate(session, invoice, tenant)
        lines = lines_of(session, row)
        document = _document(session, row) if pdf else None
    if document is not None and pdf is not None:
        _write_pdf(document, pdf)
    elif events is not None:
        _show_events(addresses.lake_url, row, _line_id(row, lines, events), limit, as_json)
    elif as_json:
        emit({**header(row), "lines": lines})
    else:
        _show_invoice(row, lines)


def _document(session: Session, row: InvoiceRow) -> InvoiceDocument:
    from storage.services.invoice_documents import invoice_document

    return invoice_document(session, row)


def _write_pdf(document: InvoiceDocument, file: Path) -> None:
    from documents.pdf import invoice_pdf

    file.write_bytes(invoice_pdf(document))
    out.print(f"{document.number} written to {file}", markup=False)


def header(row: InvoiceRow) -> dict[str, Any]:
    """An invoice without its lines, as data."""
    from storage.repositories.invoice_states import as_dict

    found = as_dict(row)
    found["invoice_id"] = found.pop("id")
    return {name: value for name, value in found.items() if name not in ("withdrawn", "appearance")}


def invoice_table(rows: list[InvoiceRow]) -> Table:
    """Invoices as a table, one row each."""
    from rich.table import Table

    table = Table("number", "month", "tenant", "customer", "status", "lines")
    table.add_column("total", justify="right")
    table.add_column("")
    for row in rows:
        status = f"[{STATUS_COLOURS[row.status]}]{row.status}[/]"
        cells = (row.number, row.month, row.tenant_id, row.customer_id, status, str(row.lines))
        table.add_row(*cells, _money(row.total, row.currency), row.currency)
    return table


def line_events(lake_url: str, month: str, tenant_id: str, line_id: str, limit: int) -> pl.DataFrame:
    """The first events of a line by time, from the lake."""
    import polars as pl

    from storage.lake import Lake
    from storage.scope import Scope

    columns = (
        "occurred_at", "quantity", "running_total", "marginal_revenue", "disposition", "late", "idempotency_key", "raw_seq",
    )  # fmt: skip
    found = Lake(lake_url).scan("metered_events", Scope(month=month, tenants=(tenant_id,)))
    of_line = found.filter(pl.col("line_id") == line_id).select(columns)
    return of_line.sort("occurred_at", "raw_seq").head(limit).collect()


def _line_id(row: InvoiceRow, lines: list[dict[str, Any]], asked: str) -> str:
    """The id of the line a person means: by its id, or by its unit where one line has it."""
    found = [line["line_id"] for line in lines if asked in (line["line_id"], line["unit"])]
    if len(found) == 1:
        return str(found[0])
    known = ", ".join(f"{line['line_id']} ({line['unit'] or line['description']})" for line in lines)
    problem = "several lines for" if found else "no line"
    raise typer.BadParameter(
        f"{row.number} has {problem} {asked!r}; its lines are {known}", param_hint="--events"
    )


def _move(verb: str, number: str, tenant: str | None, as_json: bool, *reason: str) -> None:
    from stack.settings import connected
    from storage.database import session_scope
    from storage.repositories.invoice_states import InvoiceStates, locate

    with session_scope(connected().database_url) as session:
        found = locate(session, number, tenant)
        row = getattr(InvoiceStates(session, found.tenant_id), verb)(found.id, *reason)
    if as_json:
        emit(header(row))
    else:
        out.print(invoice_table([row]))


def _show_invoice(row: InvoiceRow, lines: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    period = f"{_day(row.period_start)} to {_day(row.period_end)} (UTC, end exclusive)"
    out.print(f"[bold]{row.number}[/]  {row.status}  {row.tenant_id} → {row.customer_id}  {period}")
    wide = out.width >= _WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in (*(("line",) if wide else ()), "what", "unit", "model"):
        table.add_column(title, no_wrap=title != "what")
    for title in ("usage", "free", "amount"):
        table.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        usage, free = _plain(line["quantity"]), _plain(line["included"])
        amount = _money(line["amount"], row.currency)
        names = (line["description"], line["unit"] or "", line["model"] or "")
        table.add_row(*((line["line_id"],) if wide else ()), *names, usage, free, amount)
        for tier in line["tiers"] or []:
            table.add_row(*(("",) if wide else ()), *_tier(tier), style="dim")
    out.print(table)
    for name in ("subtotal", "discount", "tax", "total", "amount_due"):
        out.print(
            f"{name.replace('_', ' '):>12} {_money(getattr(row, name), row.currency):>16} {row.currency}"
        )
    out.print(f"content {row.content_hash}", style="dim", soft_wrap=True)
    if row.void_reason:
        out.print(f"void: {row.void_reason}", markup=False)


def _tier(tier: dict[str, Any]) -> tuple[str, ...]:
    bound = "beyond" if tier["up_to"] is None else f"up to {tier['up_to']}"
    return f"  {bound}", f"at {tier['unit_price']}", "", tier["quantity"], "", tier["amount"]


def _show_events(lake_url: str, row: InvoiceRow, line_id: str, limit: int, as_json: bool) -> None:
    from rich import box
    from rich.table import Table

    found = line_events(lake_url, row.month, row.tenant_id, line_id, limit)
    if as_json:
        emit({"invoice": row.number, "line": line_id, "events": found.to_dicts()})
        return
    if out.width < _WIDE:
        found = found.drop("disposition", "late", "raw_seq")
    title = f"{row.number}, line {line_id}: first {found.height} events"
    table = Table(*found.columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for event in found.iter_rows():
        table.add_row(*(_shown(value) for value in event))
    out.print(table)


def _shown(value: Any) -> str:
    from datetime import datetime
    from decimal import Decimal

    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _plain(value) if isinstance(value, Decimal) else str(value)


def _money(amount: Any, currency: str) -> str:
    from domain.money import currency_exponent

    return f"{amount:,.{currency_exponent(currency)}f}"


def _plain(quantity: Any) -> str:
    from domain.quantity import plain

    return "" if quantity is None else plain(quantity)


def _day(instant: Any) -> str:
    from datetime import UTC

    return str(instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M"))
