"""Invoices: numbers without gaps, drafts replaced, issued ones left alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from storage.database import session_scope
from storage.repositories.audit import Audit
from storage.repositories.invoice_content import content_hash
from storage.repositories.invoice_states import (
    AmbiguousInvoice,
    InvoiceNotFound,
    InvoiceStateConflict,
    InvoiceStates,
    Wanted,
    as_dict,
    find_invoices,
    lines_of,
    locate,
)
from storage.repositories.invoices import LineWithoutSettlement, UnknownIssuer, settle
from storage.scope import Scope
from storage.tables.invoices import InvoiceRow
from tests.storage.worlds import ACME, applied
from transforms.frames import INVOICES, ROUTED_LINES, SETTLEMENTS

START, END = datetime(2023, 11, 1, tzinfo=UTC), datetime(2023, 12, 1, tzinfo=UTC)
NOVEMBER = Scope(month="2023-11")


def settlement(customer: str, total: str = "10", tenant: str = "acme", **fields: Any) -> dict[str, Any]:
    amount = Decimal(total)
    return {
        "month": "2023-11", "tenant_id": tenant, "customer_id": customer, "invoice_id": f"inv_{customer}",
        "billing_entity": "default", "currency": "USD", "period_start": START, "period_end": END, "lines": 1,
        "subtotal": amount, "discount": Decimal(0), "tax": Decimal(0), "total": amount, "wallet_amount": Decimal(0),
        "amount_due": amount, **fields,
    }  # fmt: skip


def line(customer: str, total: str = "10", tenant: str = "acme", **fields: Any) -> dict[str, Any]:
    amount = Decimal(total)
    tiers = [
        {"up_to": Decimal(1000), "quantity": Decimal(5), "unit_price": Decimal("0.01"), "flat_fee": Decimal(0),
         "amount": Decimal("0.05")},
    ]  # fmt: skip
    return {
        "month": "2023-11", "tenant_id": tenant, "customer_id": customer, "subscription_id": f"sub_{customer}",
        "line_id": f"ln_{customer}", "line_order": 1, "line_type": "USAGE_FEE", "description": "Calls", "unit": "calls",
        "model": "GRADUATED", "period_start": START, "period_end": END, "events": 5, "quantity": Decimal(5),
        "included": Decimal(0), "billable": Decimal(5), "currency": "USD", "unrounded": amount, "amount": amount,
        "tiers": tiers, "problem": None, "commit_adjustment": Decimal(0), "discount": Decimal(0), "taxable": amount,
        "tax": Decimal(0), "destination": "INVOICE", "invoice_id": f"inv_{customer}", "hold_reason": None, **fields,
    }  # fmt: skip


def bill(session: Session, *customers: str, total: str = "10", tenant: str = "acme") -> list[dict[str, Any]]:
    settlements = [settlement(customer, total, tenant) for customer in customers]
    lines = [line(customer, total, tenant) for customer in customers]
    return settle(session, settlements, lines, scope=NOVEMBER)


def stored(session: Session, customer: str) -> InvoiceRow:
    session.expire_all()
    return locate(session, f"inv_{customer}", "acme")


@pytest.fixture(autouse=True)
def _tenants(engine: Engine) -> None:
    with session_scope(engine) as session:
        applied(session, ACME)
        applied(session, {"tenant": {"id": "globex"}})


def test_numbers_follow_tenant_and_customer_without_gaps(session: Session) -> None:
    numbered = bill(session, "cleo", "ann", "bob")
    assert [(row["customer_id"], row["number"]) for row in numbered] == [
        ("ann", "INV-2023-0001"), ("bob", "INV-2023-0002"), ("cleo", "INV-2023-0003"),
    ]  # fmt: skip


def test_frames_go_in_and_rows_of_the_invoices_table_come_out(session: Session) -> None:
    settlements = pl.DataFrame([settlement("ann")], schema=SETTLEMENTS.schema)
    lines = pl.DataFrame([line("ann")], schema=ROUTED_LINES.schema)
    numbered = settle(session, settlements, lines, scope=NOVEMBER)
    assert pl.DataFrame(numbered, schema=INVOICES.schema)["status"].to_list() == ["DRAFT"]
    assert lines_of(session, stored(session, "ann"))[0]["tiers"][0]["amount"] == "0.05"


def test_billing_again_changes_no_byte(engine: Engine) -> None:
    with session_scope(engine) as session:
        first = bill(session, "ann", "bob")
    with session_scope(engine) as session:
        before = [as_dict(row) for row in find_invoices(session, Wanted())]
        again = bill(session, "bob", "ann")
    with session_scope(engine) as session:
        assert [as_dict(row) for row in find_invoices(session, Wanted())] == before
    assert again == first


def test_a_draft_that_differs_is_replaced_under_its_number(session: Session) -> None:
    bill(session, "ann", "bob")
    changed = bill(session, "ann", "bob", total="12.5")
    row = stored(session, "ann")
    assert (row.number, row.total, row.status) == ("INV-2023-0001", Decimal("12.5"), "DRAFT")
    assert [each["amount"] for each in lines_of(session, row)] == [Decimal("12.5")]
    assert not any(each["differs"] for each in changed)


@pytest.mark.parametrize("step", ["finalize", "pay", "void"])
def test_an_issued_invoice_is_never_edited(session: Session, step: str) -> None:
    bill(session, "ann")
    states = InvoiceStates(session, "acme")
    states.finalize("inv_ann")
    if step != "finalize":
        getattr(states, step)("inv_ann", *(["wrong"] if step == "void" else []))
    before = as_dict(stored(session, "ann"))
    same, other = bill(session, "ann")[0], bill(session, "ann", total="99")[0]
    assert as_dict(stored(session, "ann")) == before
    assert (same["differs"], other["differs"]) == (False, True)
    assert same["status"] == other["status"] == before["status"]


def test_a_draft_nobody_settles_any_more_is_void_and_comes_back_under_its_number(session: Session) -> None:
    first = bill(session, "ann", "bob")
    bill(session, "bob")
    gone = stored(session, "ann")
    assert (gone.status, gone.total, lines_of(session, gone)) == ("VOID", 0, [])
    assert "nothing to bill" in (gone.void_reason or "")
    assert bill(session, "ann", "bob") == first
    assert stored(session, "ann").status == "DRAFT"


def test_a_rerun_for_some_touches_only_theirs(session: Session) -> None:
    everyone = [("ann", "acme"), ("bob", "acme"), ("bob", "globex")]
    bills = [(settlement(who, tenant=tenant), line(who, tenant=tenant)) for who, tenant in everyone]
    settle(session, [each for each, _ in bills], [each for _, each in bills], scope=NOVEMBER)
    settle(session, [], [], scope=Scope("2023-11", ("acme",), ("bob",)))
    assert [row.status for row in find_invoices(session, Wanted())] == ["DRAFT", "VOID", "DRAFT"]


@pytest.mark.parametrize("time_zone", ["UTC", "America/New_York"])
def test_the_hash_can_be_recomputed_from_the_database(session: Session, time_zone: str) -> None:
    odd = line(
        "ann", line_id="ln_2", description='a "quoted",\nbroken line\\', unit="", tiers=None, included=None
    )
    numbered = settle(session, [settlement("ann", lines=2)], [line("ann"), odd])[0]
    session.execute(text(f"SET LOCAL TIME ZONE '{time_zone}'"))
    row = stored(session, "ann")
    assert (
        content_hash({**as_dict(row), "invoice_id": row.id}, lines_of(session, row))
        == numbered["content_hash"]
    )


def test_the_hash_is_of_the_bill_and_not_of_how_it_was_written() -> None:
    plain, padded = settlement("ann", "10"), settlement("ann", "10.0000")
    assert content_hash(plain, [line("ann", "10")]) == content_hash(padded, [line("ann", "10.00")])
    assert content_hash(plain, [line("ann", "10")]) != content_hash(plain, [line("ann", "10.01")])


def test_numbers_have_no_gaps_under_concurrency(engine: Engine) -> None:
    def run(worker: int) -> None:
        with session_scope(engine) as session:
            customers = [f"c{worker}{each}" for each in range(5)]
            settle(session, [settlement(each) for each in customers], [line(each) for each in customers])
            if worker % 4 == 3:
                session.rollback()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(16)))
    with session_scope(engine) as session:
        numbers = sorted(session.scalars(select(InvoiceRow.number)))
    assert numbers == [f"INV-2023-{number:04d}" for number in range(1, 61)]


def test_the_same_bill_from_two_runs_at_once_is_one_invoice(engine: Engine) -> None:
    def run(_: int) -> list[dict[str, Any]]:
        with session_scope(engine) as session:
            return bill(session, "ann", "bob")

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, range(8)))
    assert all(result == results[0] for result in results)
    with session_scope(engine) as session:
        assert len(find_invoices(session, Wanted())) == 2


def test_years_and_tenants_count_for_themselves(session: Session) -> None:
    bill(session, "ann")
    other = settlement("zoe", tenant="globex")
    next_year = settlement("ann", month="2024-01", invoice_id="inv_ann_2024")
    numbered = settle(session, [next_year, other], [])
    assert {row["number"] for row in numbered} == {"INV-2024-0001", "INV-2023-0001"}


def test_a_held_line_is_on_no_invoice(session: Session) -> None:
    held = line("ann", line_id="ln_held", destination="HELD", invoice_id=None)
    settle(session, [settlement("ann")], [line("ann"), held])
    assert [each["line_id"] for each in lines_of(session, stored(session, "ann"))] == ["ln_ann"]


def test_a_line_without_its_settlement_stops_everything(session: Session) -> None:
    with pytest.raises(LineWithoutSettlement, match="ln_bob"):
        settle(session, [settlement("ann")], [line("ann"), line("bob")])


def test_an_issuer_nobody_knows_is_named(session: Session) -> None:
    with pytest.raises(UnknownIssuer, match="'fr'"):
        settle(session, [settlement("ann", billing_entity="fr")], [line("ann")])


def test_steps_out_of_order_are_refused_and_repeated_ones_change_nothing(session: Session) -> None:
    bill(session, "ann")
    states = InvoiceStates(session, "acme")
    with pytest.raises(InvoiceStateConflict, match="only OPEN"):
        states.pay("inv_ann")
    assert states.finalize("inv_ann").finalized_at == states.finalize("inv_ann").finalized_at
    assert states.pay("INV-2023-0001").status == "PAID"
    with pytest.raises(InvoiceStateConflict, match="PAID"):
        states.void("inv_ann", "too late")
    assert [entry.action for entry in Audit(session, "acme").entries(2)] == [
        "INVOICE_PAID",
        "INVOICE_FINALIZED",
    ]


def test_another_tenants_invoice_does_not_exist(session: Session) -> None:
    bill(session, "ann")
    with pytest.raises(InvoiceNotFound):
        InvoiceStates(session, "globex").get("inv_ann")


def test_a_number_of_two_tenants_asks_which(session: Session) -> None:
    settle(session, [settlement("ann"), settlement("zoe", tenant="globex")], [])
    with pytest.raises(AmbiguousInvoice, match="acme, globex"):
        locate(session, "INV-2023-0001")
    assert locate(session, "INV-2023-0001", "globex").customer_id == "zoe"
