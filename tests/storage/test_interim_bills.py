"""Interim invoices and the closing bills that give them back: neither goes without the other, whoever is first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Engine, text

from domain.invoice_life import THRESHOLD
from storage.database import session_scope
from storage.repositories.interim_bills import InterimDeducted, InterimNotDeducted, line_ids
from storage.repositories.invoice_states import InvoiceStates, locate
from storage.repositories.invoices import settle, write_bill
from storage.services.invoices_by_hand import InvoicesByHand
from storage.tables.corrections import InterimBillRow
from storage.tenancy import tenant_tx
from tests.storage.test_invoices import NOVEMBER, START, line, settlement
from tests.storage.worlds import ACME, applied
from transforms.frames import ROUTED_LINES, SETTLEMENTS
from transforms.inputs import INPUTS

INTERIM, CLOSING = "inv_interim", "inv_ann"
LATER = datetime(2024, 1, 1, tzinfo=UTC)
_MADE_FROM = pl.DataFrame([{"tenant_id": "acme", "invoice_id": INTERIM}], schema=INPUTS)


@pytest.fixture(autouse=True)
def _a_closing_bill_that_gives_an_interim_invoice_back(engine: Engine) -> None:
    with session_scope(engine) as session:
        applied(session, ACME)
        bill = pl.DataFrame([settlement("ann", "4", invoice_id=INTERIM)], schema=SETTLEMENTS.schema)
        lines = pl.DataFrame([line("ann", "4", invoice_id=INTERIM)], schema=ROUTED_LINES.schema)
        bill = bill.join(_MADE_FROM, on=["tenant_id", "invoice_id"], how="left")
        write_bill(session, bill, lines, kind=THRESHOLD)
        session.add(
            InterimBillRow(
                tenant_id="acme",
                invoice_id=INTERIM,
                subscription_id="sub_ann",
                period_start=START,
                number=1,
            )
        )
        InvoiceStates(session, "acme", at=LATER).finalize(INTERIM)
        back = line("ann", "-4", line_id=f"{line_ids(INTERIM)}_1", line_type="CREDIT", unit=None, events=0)
        closing = settlement("ann", "6", lines=2)
        settle(session, [closing], [line("ann"), back], scope=NOVEMBER)


def states(engine: Engine, act: Callable[[InvoiceStates], Any]) -> None:
    with session_scope(engine) as session:
        act(InvoiceStates(session, "acme", at=LATER))


def finalize(engine: Engine) -> None:
    states(engine, lambda found: found.finalize(CLOSING))


def void(engine: Engine, invoice: str = INTERIM) -> None:
    states(engine, lambda found: found.void(invoice, "by mistake"))


def reissued(engine: Engine) -> str:
    with tenant_tx(engine, "acme", at=LATER) as tx:
        return InvoicesByHand(tx).reissue(CLOSING, "wrong address").id


def once_it_waits(engine: Engine, waiting: Future[None]) -> None:
    """Return when the other transaction waits for a lock, or has ended without."""
    until = monotonic() + 10
    query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with engine.connect() as connection:
        while monotonic() < until and not waiting.done():
            if connection.execute(query).scalar_one():
                return
            connection.rollback()
            sleep(0.01)


def test_a_closing_bill_waits_for_an_interim_invoice_that_is_being_voided(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        with session_scope(engine) as session:
            InvoiceStates(session, "acme", at=LATER).void(INTERIM, "by mistake")
            issuing = pool.submit(finalize, engine)
            once_it_waits(engine, issuing)
        with pytest.raises(InterimNotDeducted, match="bill 2023-11 again"):
            issuing.result()


def test_an_interim_invoice_is_not_voided_while_its_closing_bill_is_being_issued(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        with session_scope(engine) as session:
            InvoiceStates(session, "acme", at=LATER).finalize(CLOSING)
            voiding = pool.submit(void, engine)
            once_it_waits(engine, voiding)
        with pytest.raises(InterimDeducted):
            voiding.result()


def test_a_closing_bill_made_anew_still_gives_the_interim_invoice_back(engine: Engine) -> None:
    finalize(engine)
    again = reissued(engine)
    with pytest.raises(InterimDeducted):
        void(engine)
    states(engine, lambda found: found.finalize(again))
    with pytest.raises(InterimDeducted):
        void(engine)
    with session_scope(engine) as session:
        row = locate(session, again)
        assert (row.kind, row.status, row.total) == ("REISSUE", "OPEN", 6)


def test_a_closing_bill_is_not_made_anew_once_its_interim_invoice_is_void(engine: Engine) -> None:
    finalize(engine)
    void(engine, CLOSING)
    void(engine)
    with pytest.raises(InterimNotDeducted, match="one-off invoice"):
        reissued(engine)


def test_a_draft_made_anew_before_its_interim_invoice_was_void_is_not_issued(engine: Engine) -> None:
    finalize(engine)
    again = reissued(engine)
    with session_scope(engine) as session:
        session.execute(text("UPDATE invoices SET status = 'VOID' WHERE id = :id"), {"id": INTERIM})
    with pytest.raises(InterimNotDeducted):
        states(engine, lambda found: found.finalize(again))
