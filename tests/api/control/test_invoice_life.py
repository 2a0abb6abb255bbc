"""Invoices over HTTP after they are billed: issued, paid in parts, voided and replaced, credited; one-off ones; documents."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from storage.database import make_engine, session_scope
from storage.repositories.invoice_states import Wanted, find_invoices, locate
from storage.services.invoice_upkeep import Round, keep_invoices
from storage.tables.invoices import InvoiceRow
from tests.api.control.conftest import Api, problem

GERMANY = {"line1": "Lindenallee 12", "city": "Berlin", "postalCode": "10115", "country": "DE"}
SPAIN = {"line1": "Calle de la Luz 8", "city": "Madrid", "postalCode": "28004", "country": "ES"}
LINES = [
    {"description": "Workshop", "quantity": 2, "unitPrice": "450.00"},
    {"description": "Travel", "amount": "100.00"},
]


def customer(api: Api, **fields: Any) -> str:
    about = {
        "name": "Lumen Studio S.L.",
        "email": "pagos@lumen.example",
        "plan": "STANDARD",
        "address": SPAIN,
    }
    return str(api.made("/api/v1/customers", {**about, **fields})["id"])


def one_off(
    api: Api, lines: list[dict[str, Any]] = LINES, *, issued: bool = True, **fields: Any
) -> dict[str, Any]:
    made: dict[str, Any] = api.made(
        "/api/v1/invoices",
        {"customerId": fields.pop("customerId", None) or customer(api), "lines": lines, **fields},
    )
    return api.made(f"/api/v1/invoices/{made['id']}/finalize") if issued else made


def shown(api: Api, invoice: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/api/v1/invoices/{invoice['id']}").json()["data"]
    return found


def credited(api: Api, invoice: dict[str, Any], **what: Any) -> dict[str, Any]:
    note: dict[str, Any] = api.made(
        "/api/v1/credit-notes", {"invoiceId": invoice["number"], "reason": "PRORATION", **what}
    )
    return note


def amount(text: str) -> Decimal:
    return Decimal(text)


def test_a_one_off_invoice_and_its_reissue_say_each_tax(api: Api) -> None:
    taxed = [
        LINES[0] | {"taxPercent": 19},
        LINES[1] | {"taxPercent": 7},
        {"description": "Gift", "amount": "5"},
    ]
    made = one_off(api, taxed)
    again = api.made(f"/api/v1/invoices/{made['id']}/reissue", {"reason": "address"})
    for invoice in (made, again):
        taxes = shown(api, invoice)["taxes"]
        said = [tuple(map(amount, (each["rate"], each["taxable"], each["tax"]))) for each in taxes]
        assert said == [tuple(map(amount, row)) for row in (("0.07", "100", "7"), ("0.19", "900", "171"))]


def test_a_one_off_invoice_is_numbered_summed_and_issued_with_a_due_date(api: Api) -> None:
    draft = one_off(api, issued=False, dueDays=10)
    assert (draft["status"], amount(draft["total"]), draft["kind"]) == ("DRAFT", 1000, "ONE_OFF")
    issued = api.made(f"/api/v1/invoices/{draft['id']}/finalize")
    due = datetime.fromisoformat(issued["issuedOn"]) + timedelta(days=10)
    assert (issued["status"], issued["dueDate"]) == ("OPEN", due.date().isoformat())


def test_days_to_pay_are_the_customers_else_the_tenants(api: Api) -> None:
    assert one_off(api)["dueDays"] == 30
    api.patch("/api/v1/organization-settings", {"terms": {"paymentDueDays": 14}})
    assert one_off(api)["dueDays"] == 14
    assert one_off(api, customerId=customer(api, paymentDueDays=7))["dueDays"] == 7


def test_a_line_says_an_amount_or_a_price_never_both(api: Api) -> None:
    both = {
        "customerId": customer(api),
        "lines": [{"description": "x", "amount": 1, "quantity": 1, "unitPrice": 1}],
    }
    problem(api.post("/api/v1/invoices", both), 422, field="lines[0].amount")


def test_an_invoice_is_paid_bit_by_bit_and_never_beyond(api: Api) -> None:
    invoice = one_off(api)
    path = f"/api/v1/invoices/{invoice['id']}/pay"
    first = api.made(path, {"amount": "400.00", "reference": "SEPA 1"})
    assert (first["status"], amount(first["amountLeft"])) == ("OPEN", 600)
    problem(api.post(path, {"amount": "600.01"}), 409, "MORE_THAN_IS_LEFT")
    assert api.made(path)["status"] == "PAID"
    assert [amount(each["amount"]) for each in shown(api, invoice)["payments"]] == [400, 600]


def test_a_void_invoice_is_replaced_under_a_new_number_that_names_it(api: Api) -> None:
    invoice = one_off(api)
    again = api.made(f"/api/v1/invoices/{invoice['id']}/reissue", {"reason": "wrong address"})
    assert shown(api, invoice)["status"] == "VOID"
    assert (again["replaces"], again["status"], amount(again["total"])) == (invoice["id"], "DRAFT", 1000)
    assert again["number"] != invoice["number"]
    assert again["kind"] == "ONE_OFF", "no run comes to its lines, so none compares them"
    assert [line["description"] for line in again["lineItems"]] == ["Workshop", "Travel"]
    assert api.made(f"/api/v1/invoices/{invoice['id']}/reissue", {"reason": "again"})["id"] == again["id"]


def test_an_invoice_with_money_on_it_is_not_voided(api: Api) -> None:
    invoice = one_off(api)
    api.made(f"/api/v1/invoices/{invoice['id']}/pay", {"amount": "1.00"})
    problem(api.post(f"/api/v1/invoices/{invoice['id']}/void", {"reason": "x"}), 409, "INVOICE_HAS_MONEY")


def test_a_credit_note_that_leaves_nothing_to_pay_marks_the_invoice_paid(api: Api) -> None:
    invoice = one_off(api)
    api.made(f"/api/v1/invoices/{invoice['id']}/pay", {"amount": "400.00"})
    note = credited(api, invoice, amount="750.00")
    assert note["status"] == "DRAFT"
    assert (
        api.made(f"/api/v1/credit-notes/{note['id']}/issue")["number"]
        == f"INV-CN-{datetime.now(UTC).year}-0001"
    )
    applied = api.made(f"/api/v1/credit-notes/{note['id']}/apply")
    assert (applied["status"], amount(applied["applied"]), amount(applied["refundable"])) == (
        "APPLIED",
        600,
        150,
    )
    assert shown(api, invoice)["status"] == "PAID"


def test_tax_goes_back_with_the_amount_and_all_of_it_with_the_last(api: Api) -> None:
    taxed = [
        {"description": "Workshop", "amount": "99.99", "taxPercent": 19},
        {"description": "Book", "amount": "10.01", "taxPercent": 7},
    ]
    invoice = one_off(api, taxed)
    assert amount(invoice["tax"]) == Decimal("19.70")
    notes = [credited(api, invoice, amount=part) for part in ("33.33", "33.33", "63.04")]
    assert sum(amount(note["tax"]) for note in notes) == Decimal("19.70")
    assert sum(amount(note["subtotal"]) for note in notes) == Decimal("110.00")
    problem(
        api.post("/api/v1/credit-notes", {"invoiceId": invoice["id"], "amount": "0.01", "reason": "OTHER"}),
        409,
        "MORE_THAN_IS_CREDITABLE",
    )


def test_a_line_gives_back_no_more_than_its_own(api: Api) -> None:
    invoice = one_off(api)
    line = shown(api, invoice)["lineItems"][1]["lineId"]
    too_much = {
        "invoiceId": invoice["id"],
        "reason": "OTHER",
        "lines": [{"lineId": line, "amount": "100.01"}],
    }
    problem(api.post("/api/v1/credit-notes", too_much), 409, "MORE_THAN_IS_CREDITABLE")
    assert amount(credited(api, invoice, lines=[{"lineId": line, "amount": 100}])["total"]) == 100


def test_a_dropped_draft_may_be_credited_again_and_a_draft_invoice_not_at_all(api: Api) -> None:
    invoice = one_off(api)
    note = credited(api, invoice, amount=1000)
    assert api.made(f"/api/v1/credit-notes/{note['id']}/void")["status"] == "VOID"
    assert credited(api, invoice, amount=1000)["status"] == "DRAFT"
    draft = one_off(api, issued=False)
    problem(
        api.post("/api/v1/credit-notes", {"invoiceId": draft["id"], "amount": 1, "reason": "OTHER"}),
        409,
        "INVOICE_STATE_CONFLICT",
    )


def test_twenty_at_once_credit_no_more_than_there_is_and_number_without_gaps(api: Api) -> None:
    invoice = one_off(api)

    def attempt(_: int) -> int:
        made = api.post(
            "/api/v1/credit-notes", {"invoiceId": invoice["id"], "amount": "90.00", "reason": "GOODWILL"}
        )
        if made.status_code == 201:
            api.made(f"/api/v1/credit-notes/{made.json()['data']['id']}/issue")
        return made.status_code

    with ThreadPoolExecutor(20) as pool:
        codes = sorted(pool.map(attempt, range(20)))
    assert codes == [201] * 11 + [409] * 9
    notes = api.get(f"/api/v1/credit-notes?invoiceId={invoice['id']}&size=100").json()["data"]
    numbers = sorted(note["number"] for note in (notes["content"] if isinstance(notes, dict) else notes))
    assert [int(number[-4:]) for number in numbers] == list(range(1, 12))


def test_an_invoice_whose_period_runs_is_not_finalized(api: Api) -> None:
    draft = one_off(api, issued=False)
    with session_scope(api.database_url) as session:
        row = locate(session, draft["id"])
        row.kind, row.month = "PERIOD", "2999-01"
        row.period_end = datetime(2999, 2, 1, tzinfo=UTC)
    problem(api.post(f"/api/v1/invoices/{draft['id']}/finalize"), 409, "INVOICE_PERIOD_NOT_ENDED")


def test_an_unpaid_invoice_is_overdue_reminded_five_times_and_given_up(api: Api) -> None:
    invoice = one_off(api, dueDays=0)
    engine, start = make_engine(api.database_url), datetime.now(UTC)
    seen = []
    for day in range(1, 40):
        done = keep_invoices(engine, start + timedelta(days=day))
        assert done.stuck == {}
        if done != Round():
            seen.append((day, shown(api, invoice)["status"], shown(api, invoice)["reminders"]))
    engine.dispose()
    assert seen == [
        (1, "OVERDUE", 1), (7, "OVERDUE", 2), (14, "OVERDUE", 3), (21, "OVERDUE", 4), (28, "OVERDUE", 5), (35, "UNCOLLECTIBLE", 5),
    ]  # fmt: skip
    assert api.made(f"/api/v1/invoices/{invoice['id']}/pay")["status"] == "PAID", "late money is money"


def test_a_draft_is_issued_by_itself_after_its_grace_period(api: Api) -> None:
    draft = one_off(api, issued=False)
    with session_scope(api.database_url) as session:
        row: InvoiceRow = locate(session, draft["id"])
        row.kind, row.month = "PERIOD", f"{datetime.now(UTC):%Y-%m}"
        row.period_end = end = datetime.now(UTC)
    engine = make_engine(api.database_url)
    assert keep_invoices(engine, end + timedelta(days=3, hours=-1)).issued == 0
    assert keep_invoices(engine, end + timedelta(days=3, hours=1)).issued == 1
    engine.dispose()
    assert shown(api, draft)["status"] == "OPEN"


def test_the_page_has_the_electronic_invoice_inside_and_is_the_same_every_time(api: Api) -> None:
    api.patch(
        "/api/v1/billing-entities/default",
        {"legalName": "Northwind AI GmbH", "address": GERMANY, "taxRegistration": "DE123456789"},
    )
    invoice = one_off(api, [{"description": "Workshop", "amount": "100.00", "taxPercent": 19}])
    first, second = (api.get(f"/api/v1/invoices/{invoice['number']}/pdf") for _ in range(2))
    assert first.headers["content-type"] == "application/pdf"
    assert first.content == second.content and first.content.startswith(b"%PDF-")
    assert b"factur-x.xml" in first.content
    xml = api.get(f"/api/v1/invoices/{invoice['number']}/xml")
    assert xml.status_code == 200 and "urn:cen.eu:en16931:2017" in xml.text and "119.00" in xml.text
    note = credited(api, invoice, amount="11.90")
    api.made(f"/api/v1/credit-notes/{note['id']}/issue")
    assert ">381<" in api.get(f"/api/v1/credit-notes/{note['id']}/xml").text
    assert api.get(f"/api/v1/credit-notes/{note['id']}/pdf").content.startswith(b"%PDF-")


def test_what_an_electronic_invoice_lacks_is_named(api: Api) -> None:
    invoice = one_off(api)
    found = problem(api.get(f"/api/v1/invoices/{invoice['id']}/xml"), 422, "E_INVOICE_INCOMPLETE")
    assert "address of the billing entity" in found["detail"]
    assert api.get(f"/api/v1/invoices/{invoice['id']}/pdf").status_code == 200


def test_an_issued_invoice_keeps_the_names_it_was_issued_with(api: Api) -> None:
    who = customer(api)
    invoice = one_off(api, customerId=who)
    before = api.get(f"/api/v1/invoices/{invoice['id']}/pdf").content
    api.patch(f"/api/v1/customers/{who}", {"name": "Somebody Else"})
    assert api.get(f"/api/v1/invoices/{invoice['id']}/pdf").content == before


def test_a_preview_is_the_month_so_far_and_writes_nothing(api: Api) -> None:
    plan = api.made(
        "/api/v1/rateplans", {"name": "Pro", "currency": "USD", "baseFee": 49, "metricConfigs": []}
    )["id"]
    about = {"code": "pro", "name": "Pro", "type": "STANDALONE", "status": "ACTIVE", "currency": "USD"}
    offering = api.made("/api/v1/offerings", {**about, "primaryRatePlanId": plan})["id"]
    who = customer(api)
    terms = {"offeringId": offering, "customerId": who, "billingCycle": "MONTHLY", "startDate": "2026-01-01"}
    api.made("/api/v1/subscriptions", terms)
    found = api.get(f"/api/v1/customers/{who}/invoice-preview?month=2026-05").json()["data"]
    assert [amount(each["total"]) for each in found["invoices"]] == [49], found
    with session_scope(api.database_url) as session:
        assert find_invoices(session, Wanted()) == []
    problem(api.get("/api/v1/customers/nobody/invoice-preview"), 404)


def test_money_is_collected_through_the_customers_gateway_or_not_at_all(api: Api) -> None:
    who = customer(api)
    invoice = one_off(api, customerId=who)
    path = f"/api/v1/invoices/{invoice['id']}/collect"
    problem(api.post(path), 400, "NO_PAYMENT_METHOD")
    api.made("/api/v1/payment-gateways", {"gatewayType": "MANUAL", "displayName": "Bank"})
    api.made(
        "/api/v1/payment-methods",
        {"customerId": who, "gatewayToken": "mandate-1", "methodType": "SEPA_DEBIT"},
    )
    pending = api.made(path)
    assert (pending["status"], [each["status"] for each in pending["payments"]]) == ("OPEN", ["PENDING"])
    problem(api.post(path), 409, "PAYMENT_PENDING")
    assert api.made(f"/api/v1/invoices/{invoice['id']}/pay")["status"] == "PAID"
