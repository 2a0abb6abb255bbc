"""The routes of credit notes. Put here: reading the request, shaping the answer. Keep out: what may be credited."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from api.control.documents import PDF_ANSWER, XML_ANSWER, as_pdf, as_xml
from storage.services.credit_notes import CreditNotes
from storage.services.invoice_documents import credit_note_document
from storage.tables.receivables import CreditNoteLineRow, CreditNoteRow
from storage.tenancy import Tx


class CreditLine(Body):
    """What to take off one line, with tax."""

    line_id: str = Field(examples=["ln_0123456789abcdef0123"])
    amount: Decimal = Field(examples=["12.50"])


class CreditNoteBody(Body):
    """What to take off an invoice: an amount of the whole of it, or lines; both with tax. Shares of tax and discount are returned
    with it."""

    invoice_id: str = Field(description="Its id or number.", examples=["INV-2026-0001"])
    amount: Decimal | None = Field(None, description="With tax.", examples=["25.00"])
    lines: list[CreditLine] | None = Field(None, description="Instead of amount.")
    reason: str = Field(
        description="PRORATION, BILLING_ERROR, DUPLICATE, GOODWILL, ORDER_CHANGE, REFUND, SERVICE_ISSUE or OTHER.",
        examples=["PRORATION"],
    )
    description: str | None = Field(
        None, description="Stands on the document.", examples=["Outage on 12 May"]
    )


def credit_note_routes(door: Door) -> APIRouter:
    """/api/v1/credit-notes; `id` is the credit note's id or its number."""
    router = managed_router("/api/v1/credit-notes", "credit notes")
    _reading(router, door)
    _changing(router, door)
    return router


def _reading(router: APIRouter, door: Door) -> None:
    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        invoice: Annotated[str | None, Query(alias="invoiceId")] = None,
        status: Literal["DRAFT", "ISSUED", "APPLIED", "VOID"] | None = None,
    ) -> Response:
        """A page of credit notes, the oldest first. Sort by createdAt."""
        return call.listing(
            lambda tx, query: CreditNotes(tx).page(query, invoice=invoice, status=status), _shown
        )

    @router.get("/{reference}")
    def one(reference: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """A credit note with what it takes off each line."""
        return call.read(lambda tx: _with_lines(tx, CreditNotes(tx).get(reference)))

    @router.get("/{reference}/pdf", responses=PDF_ANSWER, response_class=Response)
    def pdf(reference: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """The credit note as PDF/A-3, with the electronic one inside."""
        return as_pdf(call, lambda tx: credit_note_document(tx.session, CreditNotes(tx).get(reference)))

    @router.get("/{reference}/xml", responses=XML_ANSWER, response_class=Response)
    def xml(reference: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """The electronic credit note (EN 16931, Cross Industry Invoice)."""
        return as_xml(call, lambda tx: credit_note_document(tx.session, CreditNotes(tx).get(reference)))


def _changing(router: APIRouter, door: Door) -> None:
    @router.post("", status_code=201)
    def create(body: CreditNoteBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Draft a credit note; never for more than is left to credit."""
        return call.write(lambda tx: _with_lines(tx, CreditNotes(tx).create(body.sent())), status=201)

    @router.post("/{reference}/issue", status_code=200)
    def issue(reference: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Issue a draft: it gets its number."""
        return call.write(lambda tx: _with_lines(tx, CreditNotes(tx).issue(reference)))

    @router.post("/{reference}/apply", status_code=200)
    def apply(reference: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Take an issued credit note off what is left to pay; an invoice with nothing left is PAID."""
        return call.write(lambda tx: _with_lines(tx, CreditNotes(tx).apply(reference)))

    @router.post("/{reference}/void", status_code=200)
    def void(reference: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Drop a draft."""
        return call.write(lambda tx: _with_lines(tx, CreditNotes(tx).void(reference)))


def _with_lines(tx: Tx, row: CreditNoteRow) -> dict[str, Any]:
    return {**_shown(row), "lines": [_line(line) for line in CreditNotes(tx).lines(row)]}


def _line(row: CreditNoteLineRow) -> dict[str, Any]:
    names = ("line_id", "amount", "discount", "taxable", "tax", "total")
    return camel({name: getattr(row, name) for name in names})


def _shown(row: CreditNoteRow) -> dict[str, Any]:
    fields = {
        column.name: getattr(row, column.key)
        for column in row.__table__.columns
        if column.name != "tenant_id"
    }
    return camel(fields | {"refundable": row.total - row.applied if row.status == "APPLIED" else None})
