"""Steps about bills. Put here: bill runs, invoices, replays and corrections. Keep out: what a run does (month.py)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from domain.actor import OPERATOR
from domain.catalog.fields import FieldProblem, Fields
from domain.period import parse_month
from sandbox.month import bill as bill_month
from sandbox.reading import moment
from sandbox.reading import month as read_month
from sandbox.world import Body, World
from storage.database import session_scope
from storage.replay import Known, replay
from storage.replay_report import report
from storage.repositories.invoice_states import InvoiceStates, Payment
from storage.scope import Scope
from storage.services.corrections import Corrections
from storage.services.credit_notes import CreditNotes
from storage.services.invoices_by_hand import InvoicesByHand
from storage.services.proposals import propose
from storage.tables.corrections import ReplayRow
from storage.tables.invoices import InvoiceRow
from storage.tenancy import Tx
from transforms.compare import findings


def usual_time(month: str) -> datetime:
    """When production bills a month: the 1st of the next at 12:30 UTC."""
    year, number = parse_month(month)
    return datetime(year + number // 12, number % 12 + 1, 1, 12, 30, tzinfo=UTC)


def bill(world: World, tenant: str, body: Body) -> str:
    """Without `tenant` all tenants are billed; so this step is not given one."""
    month = read_month(body.take("month"), "month")
    tenants, customers = body.several("tenants"), body.several("customers")
    body.done()
    scope = bill_month(world.ground, month, tenants, customers)
    lines = world.ground.lake.scan("routed_lines", scope).select("customer_id", "destination").collect()
    held = lines.filter(lines["destination"] == "HELD")["customer_id"].n_unique()
    billed = world.ground.lake.scan("invoices", scope).collect()
    draft = billed.filter(billed["status"] == "DRAFT").height
    said = f"{month}: {billed.height} invoices ({draft} drafts)"
    return said + (f", {held} customers held" if held else "")


def finalize(world: World, tenant: str, body: Body) -> str:
    with world.tx(tenant) as tx:
        states = InvoiceStates(tx.session, tenant, OPERATOR, at=tx.at)
        rows = [states.finalize(row.id) for row in _invoices(tx, body)]
        return ", ".join(f"{row.number} {row.status}" for row in rows)


def pay(world: World, tenant: str, body: Body) -> str:
    amount, status = (
        Fields({"amount": body.rest.pop("amount", None)}, "").price("amount"),
        body.maybe("status"),
    )
    with world.tx(tenant) as tx:
        states = InvoiceStates(tx.session, tenant, OPERATOR, at=tx.at)
        payment = Payment(amount=amount, status=status or "SUCCEEDED")
        rows = [states.pay(row.id, payment) for row in _invoices(tx, body)]
        return ", ".join(f"{row.number} {row.status}" for row in rows)


def void(world: World, tenant: str, body: Body) -> str:
    reason = body.take("reason")
    with world.tx(tenant) as tx:
        states = InvoiceStates(tx.session, tenant, OPERATOR, at=tx.at)
        rows = [states.void(row.id, reason) for row in _invoices(tx, body)]
        return ", ".join(f"{row.number} {row.status}" for row in rows)


def reissue(world: World, tenant: str, body: Body) -> str:
    reason = body.take("reason")
    with world.tx(tenant) as tx:
        rows = [InvoicesByHand(tx).reissue(row.id, reason) for row in _invoices(tx, body)]
        return ", ".join(f"{row.number} {row.status}" for row in rows)


def credit_note(world: World, tenant: str, body: Body) -> str:
    """Made, issued and applied at once, unless `until` says how far."""
    until = body.maybe("until") or "APPLIED"
    if until not in ("DRAFT", "ISSUED", "APPLIED"):
        raise FieldProblem("until", f"{until!r} is not known; use one of DRAFT, ISSUED, APPLIED")
    sent: dict[str, Any] = {
        name: body.rest.pop(name) for name in ("reason", "amount", "lines") if name in body.rest
    }
    with world.tx(tenant) as tx:
        found = _invoices(tx, body)
        if len(found) != 1:
            raise FieldProblem("invoice", f"names {len(found)} invoices; a credit note is for one")
        invoice = found[0]
        notes = CreditNotes(tx)
        row = notes.create({"invoiceId": invoice.id, **sent})
        if until != "DRAFT":
            row = notes.issue(row.id)
        if until == "APPLIED":
            row = notes.apply(row.id)
        return f"{row.number or row.id} over {row.total.normalize():f} {row.currency} {row.status}"


def one_off(world: World, tenant: str, body: Body) -> str:
    with world.tx(tenant) as tx:
        row = InvoicesByHand(tx).one_off(body.rest)
        return f"{row.number} over {row.total.normalize():f} {row.currency}"


def replay_month(world: World, tenant: str, body: Body) -> str:
    """Without `tenant` all tenants are replayed."""
    month = read_month(body.take("month"), "month")
    as_of, tenants, customers = body.maybe("asOf"), body.several("tenants"), body.several("customers")
    body.done()
    known = Known(before=moment(as_of, "asOf") + timedelta(days=1)) if as_of else Known()
    with session_scope(world.ground.database) as session:
        found = replay(session, world.ground.lake, Scope(month, tenants, customers), known)
        proposals = [] if as_of else propose(session, found, source="REPLAY")
    told = report(found, as_of=as_of)
    world.replays.append(told | {"proposals": len(proposals)})
    different = findings(found.lines).height
    return f"{month}: {found.lines.height} lines, {different} differ, {len(proposals)} proposals"


def approve(world: World, tenant: str, body: Body) -> str:
    """The newest proposal nobody approved yet, of `month` if it is named."""
    month, reason = body.maybe("month"), body.maybe("reason") or "approved"
    body.done()
    with world.tx(tenant) as tx:
        open_ones = (ReplayRow.tenant_id == tenant, ReplayRow.status == "PROPOSED")
        query = select(ReplayRow.id).where(*open_ones).order_by(ReplayRow.created_at.desc(), ReplayRow.id)
        if month is not None:
            query = query.where(ReplayRow.month == month)
        newest = tx.session.scalars(query).first()
        if newest is None:
            raise FieldProblem(
                "month", "nothing is proposed; a replay, or a run over issued invoices, proposes"
            )
        made = Corrections(tx.session, tenant, OPERATOR, tx.at).approve(newest, reason)
        return ", ".join(f"{row.amount.normalize():f} {row.currency}: {row.description}" for row in made)


def _invoices(tx: Tx, body: Body) -> list[InvoiceRow]:
    """The invoices meant: by number, or all of a month, of a customer or of everybody. Raises FieldProblem."""
    number, month, customer = body.maybe("invoice"), body.maybe("month"), body.maybe("customer")
    body.done()
    wanted = ((InvoiceRow.number, number), (InvoiceRow.month, month), (InvoiceRow.customer_id, customer))
    query = select(InvoiceRow).where(InvoiceRow.tenant_id == tx.tenant_id)
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    if number is None and month is None and customer is None:
        raise FieldProblem("month", "is missing; say which by invoice, month or customer")
    found = list(tx.session.scalars(query.order_by(InvoiceRow.month, InvoiceRow.number)))
    if not found:
        raise FieldProblem("invoice" if number else "month", "there is no such invoice at this time")
    return found
