"""`aforo credit-note`: make, issue, apply, void, list and show. Keep out: their rules (storage.services.credit_notes)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.console import emit, out

if TYPE_CHECKING:
    from storage.services.credit_notes import CreditNotes
    from storage.tables.receivables import CreditNoteRow

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant.")]
Note = Annotated[str, typer.Argument(help="The credit note's id or number.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Credit notes: make, issue, apply, void, list, show.", no_args_is_help=True)
    group.command("create", epilog="Example: aforo credit-note create INV-2026-0001 --amount 25")(create)
    group.command("issue", epilog="Example: aforo credit-note issue cn_12ab")(issue)
    group.command("apply", epilog="Example: aforo credit-note apply INV-CN-2026-0001")(apply)
    group.command("void", epilog="Example: aforo credit-note void cn_12ab")(void)
    group.command("list", epilog="Example: aforo credit-note list --invoice INV-2026-0001")(listing)
    group.command("show", epilog="Example: aforo credit-note show INV-CN-2026-0001")(show)
    app.add_typer(group, name="credit-note")


def create(
    invoice: Annotated[str | None, typer.Argument(help="The invoice's number or id.")] = None,
    amount: Annotated[str | None, typer.Option(help="With tax, spread over the lines.")] = None,
    line: Annotated[
        list[str] | None, typer.Option(metavar="LINE=AMOUNT", help="With tax, of a line; may be repeated.")
    ] = None,
    adjustment: Annotated[
        str | None,
        typer.Option(help="What no invoice carries of this approved adjustment; issued and applied at once."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Such as GOODWILL, BILLING_ERROR, SERVICE_ISSUE.")] = "OTHER",
    description: Annotated[str | None, typer.Option(help="What the customer reads.")] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Draft a credit note on an issued invoice; shares of tax and discount go back, never more than is left."""
    from stack.settings import connected
    from storage.database import session_scope
    from storage.repositories.invoice_states import locate
    from storage.services.credit_notes import CreditNotes
    from storage.tenancy import tenant_tx

    url = connected().database_url
    if (invoice is None) == (adjustment is None):
        raise typer.BadParameter("say an invoice, or --adjustment", param_hint="INVOICE")
    if adjustment is not None:
        _show(url, _credited(url, adjustment, tenant), as_json)
        return
    assert invoice is not None
    with session_scope(url) as session:
        owner = locate(session, invoice, tenant).tenant_id
    sent: dict[str, Any] = {"invoiceId": invoice, "reason": reason, "description": description}
    lines = [dict(zip(("lineId", "amount"), each.partition("=")[::2], strict=True)) for each in line or []]
    sent |= {"lines": lines} if lines else {}
    sent |= {"amount": amount} if amount is not None else {}
    with tenant_tx(url, owner) as tx:
        made = CreditNotes(tx).create({name: value for name, value in sent.items() if value is not None}).id
    _show(url, (owner, made), as_json)


def issue(note: Note, tenant: Tenant = None, as_json: Json = False) -> None:
    """Give a draft its number; it is never edited again."""
    _move(note, tenant, as_json, lambda notes: notes.issue(note))


def apply(note: Note, tenant: Tenant = None, as_json: Json = False) -> None:
    """Take an issued one off what is left to pay; the rest is owed to the customer."""
    _move(note, tenant, as_json, lambda notes: notes.apply(note))


def void(note: Note, tenant: Tenant = None, as_json: Json = False) -> None:
    """Drop a draft."""
    _move(note, tenant, as_json, lambda notes: notes.void(note))


def show(note: Note, tenant: Tenant = None, as_json: Json = False) -> None:
    """Show a credit note and what it takes off each line."""
    from stack.settings import connected

    url = connected().database_url
    _show(url, _located(url, note, tenant), as_json)


def listing(
    invoice: Annotated[str | None, typer.Option(help="Only of this invoice, by number or id.")] = None,
    status: Annotated[str | None, typer.Option(help="Only DRAFT, ISSUED, APPLIED or VOID.")] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """List credit notes, the oldest first."""
    from rich.table import Table

    from domain.credit_note import STATUSES
    from stack.settings import connected
    from storage.database import session_scope
    from storage.services.credit_notes import find_credit_notes

    if status is not None and status.upper() not in STATUSES:
        raise typer.BadParameter(f"{status!r} is not one of {', '.join(STATUSES)}", param_hint="--status")
    wanted = None if status is None else status.upper()
    with session_scope(connected().database_url) as session:
        found = find_credit_notes(session, tenant=tenant, invoice=invoice, status=wanted)
        rows = [_told(row) for row in found]
    if as_json:
        emit(rows)
        return
    names = ("number", "id", "tenant", "customer", "status", "total", "currency", "reason")
    table = Table(*names, caption=None if rows else "No credit notes.")
    for row in rows:
        table.add_row(*(str(row[name] or "") for name in names))
    out.print(table)


def _move(note: str, tenant: str | None, as_json: bool, step: Callable[[CreditNotes], CreditNoteRow]) -> None:
    from stack.settings import connected
    from storage.services.credit_notes import CreditNotes
    from storage.tenancy import tenant_tx

    url = connected().database_url
    owner, note_id = _located(url, note, tenant)
    with tenant_tx(url, owner) as tx:
        step(CreditNotes(tx))
    _show(url, (owner, note_id), as_json)


def _credited(url: str, adjustment: str, tenant: str | None) -> tuple[str, str]:
    from storage.database import session_scope
    from storage.services.credited_adjustments import CreditedAdjustments, owner_of_adjustment
    from storage.tenancy import tenant_tx

    with session_scope(url) as session:
        owner = owner_of_adjustment(session, adjustment, tenant)
    with tenant_tx(url, owner) as tx:
        return owner, CreditedAdjustments(tx).credit(adjustment).id


def _located(url: str, note: str, tenant: str | None) -> tuple[str, str]:
    """(tenant, id) of the credit note a person means; a number may exist in several tenants."""
    from storage.database import session_scope
    from storage.services.credit_notes import locate_credit_note

    with session_scope(url) as session:
        return locate_credit_note(session, note, tenant)


def _show(url: str, which: tuple[str, str], as_json: bool) -> None:
    from storage.services.credit_notes import CreditNotes
    from storage.tenancy import tenant_tx

    with tenant_tx(url, which[0]) as tx:
        notes = CreditNotes(tx)
        row = notes.get(which[1])
        lines = [
            {name: getattr(each, name) for name in ("line_id", "amount", "discount", "tax", "total")}
            for each in notes.lines(row)
        ]
        told = _told(row)
    if as_json:
        emit({**told, "lines": lines})
        return
    for name, value in told.items():
        out.print(f"{name:>12}  {'' if value is None else value}", markup=False)
    for each in lines:
        out.print(f"{each['line_id']:>12}  {each['total']} (tax {each['tax']})", markup=False)


def _told(row: CreditNoteRow) -> dict[str, Any]:
    from domain.money import currency_exponent, unpadded

    places = currency_exponent(row.currency)
    money = {name: unpadded(getattr(row, name), places) for name in ("total", "tax", "applied")}
    return {
        "number": row.number,
        "id": row.id,
        "tenant": row.tenant_id,
        "customer": row.customer_id,
        "invoice": row.invoice_id,
        "status": row.status,
        "currency": row.currency,
        **money,
        "reason": row.reason,
        "description": row.description,
    }
