"""The routes of invoices. Put here: reading the request, shaping the answer. Keep out: what may happen to an invoice."""

from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from api.control.documents import PDF_ANSWER, XML_ANSWER, as_pdf, as_xml
from domain.catalog.fields import Fields
from domain.invoice_life import UNPAID
from domain.period import parse_month
from providers.payments import Order, Outcome, provider_of
from storage.repositories.invoice_states import (
    InvoiceStates,
    Wanted,
    as_dict,
    lines_of,
    page_of_invoices,
    payments_of,
)
from storage.repositories.taxes import taxes_of
from storage.services.invoice_documents import invoice_document
from storage.services.invoices_by_hand import InvoicesByHand
from storage.services.payment_gateways import PaymentGateways
from storage.services.payments import Due, collect, read_payment
from storage.tables.invoices import InvoiceRow
from storage.tables.money import PaymentGatewayRow
from storage.tenancy import Tx


class VoidRequest(Body):
    """Why an invoice is voided."""

    reason: str = Field(min_length=1, max_length=500)


class PaymentBody(Body):
    """Money received outside a gateway."""

    amount: Decimal | None = Field(None, description="All that is left, unless given.", examples=["100.00"])
    reference: str | None = Field(
        None, description="Such as the bank's.", examples=["SEPA 2026-11-03 / 4711"]
    )


class OneOffLineBody(Body):
    """What is charged: an amount, or quantity and unitPrice."""

    description: str = Field(examples=["Onboarding workshop"])
    quantity: Decimal | None = Field(None, examples=["2"])
    unit_price: Decimal | None = Field(None, examples=["450.00"])
    amount: Decimal | None = Field(None, examples=["900.00"])
    tax_percent: Decimal | None = Field(None, description="Not taxed, unless given.", examples=["19"])


class OneOffBody(Body):
    """An invoice outside the monthly runs."""

    customer_id: str = Field(examples=["cus_0123456789abcdef"])
    currency: str | None = Field(None, description="The customer's own, unless given.", examples=["EUR"])
    billing_entity_id: str | None = Field(None, description="The customer's issuer, unless given.")
    due_days: int | None = Field(None, examples=[14])
    lines: list[OneOffLineBody]


def invoice_routes(door: Door) -> APIRouter:
    """GET and POST under /api/v1/invoices; `id` is the invoice's id or its number."""
    router = managed_router("/api/v1/invoices", "invoices")
    _reading(router, door)
    _changing(router, door)
    return router


def _reading(router: APIRouter, door: Door) -> None:
    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        customer: Annotated[str | None, Query(alias="customerId")] = None,
        month: str | None = None,
        status: Literal["DRAFT", "OPEN", "PAID", "OVERDUE", "UNCOLLECTIBLE", "VOID"] | None = None,
    ) -> Response:
        """A page of invoices, by month and number."""
        if month is not None:
            parse_month(month)
        return call.listing(
            lambda tx, page: page_of_invoices(
                tx.session, Wanted(tx.tenant_id, customer, month, status), page
            ),
            _shown,
        )

    @router.get("/{reference}")
    def one(reference: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """An invoice with its lines, their tiers, and its payments."""
        return call.read(lambda tx: _with_lines(tx, reference))

    @router.get("/{reference}/pdf", responses=PDF_ANSWER, response_class=Response)
    def pdf(reference: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """The invoice as PDF/A-3, with the electronic one inside once it is issued."""
        return as_pdf(call, lambda tx: invoice_document(tx.session, _states(tx).get(reference)))

    @router.get("/{reference}/xml", responses=XML_ANSWER, response_class=Response)
    def xml(reference: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """The electronic invoice (EN 16931, Cross Industry Invoice); 422 names what it lacks."""
        return as_xml(call, lambda tx: invoice_document(tx.session, _states(tx).get(reference)))


def _changing(router: APIRouter, door: Door) -> None:
    @router.post("", status_code=201)
    def create(body: OneOffBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Draft a one-off invoice."""

        def work(tx: Tx) -> dict[str, Any]:
            return _with_lines(tx, InvoicesByHand(tx).one_off(body.sent()).id)

        return call.write(work, status=201)

    @router.post("/{reference}/finalize")
    def finalize(reference: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Finalize a draft whose period is over: DRAFT to OPEN, with a due date."""
        return call.write(lambda tx: _shown(_states(tx).finalize(reference)))

    @router.post("/{reference}/pay")
    def pay(
        reference: str,
        call: Annotated[Call, Depends(door.write(Area.BILLING))],
        body: PaymentBody | None = None,
    ) -> Response:
        """Take in a payment, whole or in part; with nothing left to pay the invoice is PAID."""
        sent = {} if body is None else body.sent()
        return call.write(lambda tx: _shown(_states(tx).pay(reference, read_payment(Fields(sent, "")))))

    @router.post("/{reference}/collect")
    def collect_now(reference: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Take what is left from the customer's default payment method, through its gateway."""

        def work(tx: Tx) -> dict[str, Any]:
            def charge(gateway: PaymentGatewayRow, due: Due) -> Outcome:
                secret = PaymentGateways(tx, door.seal).api_key(gateway)
                return provider_of(gateway.gateway_type, secret).charge(Order(**asdict(due)))

            return _with_lines(tx, collect(tx, reference, charge).id)

        return call.write(work)

    @router.post("/{reference}/void")
    def void(
        reference: str, body: VoidRequest, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Void an issued invoice nothing was paid on."""
        return call.write(lambda tx: _shown(_states(tx).void(reference, body.reason)))

    @router.post("/{reference}/reissue", status_code=201)
    def reissue(
        reference: str, body: VoidRequest, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Void an invoice and draft the same lines under a new number that names the one it replaces."""

        def work(tx: Tx) -> dict[str, Any]:
            return _with_lines(tx, InvoicesByHand(tx).reissue(reference, body.reason).id)

        return call.write(work, status=201)


def _states(tx: Tx) -> InvoiceStates:
    return InvoiceStates(tx.session, tx.tenant_id, tx.actor, at=tx.at)


def _with_lines(tx: Tx, reference: str) -> dict[str, Any]:
    row = _states(tx).get(reference)
    hidden = ("tenant_id", "invoice_id")
    lines = [
        camel({name: value for name, value in line.items() if name not in hidden})
        for line in lines_of(tx.session, row)
    ]
    shown = ("id", "amount", "currency", "provider", "status", "reference", "failure_code", "created_at")
    payments = [
        camel({name: getattr(payment, name) for name in shown}) for payment in payments_of(tx.session, row)
    ]
    taxes = [camel(each) for each in taxes_of(tx.session, row)]
    return {**_shown(row), "lineItems": lines, "payments": payments, "taxes": taxes}


def _shown(row: InvoiceRow) -> dict[str, Any]:
    fields = as_dict(row)
    fields["line_count"] = fields.pop("lines")
    fields["amount_left"] = row.left if row.status in UNPAID else Decimal(0)
    hidden = ("tenant_id", "withdrawn", "appearance")
    return camel({name: value for name, value in fields.items() if name not in hidden})
