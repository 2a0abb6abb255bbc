"""The routes of invoices. Put here: reading the request, shaping the answer. Keep out: what may happen to an invoice."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, Page, PageQuery, managed_router
from domain.period import parse_month
from storage.repositories.invoice_states import (
    InvoiceStates,
    Wanted,
    as_dict,
    lines_of,
    page_of_invoices,
)
from storage.repositories.taxes import taxes_of
from storage.tables.invoices import InvoiceRow
from storage.tenancy import Tx


class VoidRequest(Body):
    """Why an invoice is voided."""

    reason: str = Field(min_length=1, max_length=500)


def invoice_routes(door: Door) -> APIRouter:
    """GET and POST under /api/v1/invoices; `id` is the invoice's id or its number."""
    router = managed_router("/api/v1/invoices", "invoices")

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        customer: Annotated[str | None, Query(alias="customerId")] = None,
        month: str | None = None,
        status: Literal["DRAFT", "OPEN", "PAID", "VOID"] | None = None,
    ) -> Response:
        """A page of invoices, by month and number."""
        if month is not None:
            parse_month(month)
        return call.listing(lambda tx, page: _page(tx, page, Wanted(tx.tenant_id, customer, month, status)))

    @router.get("/{reference}")
    def one(reference: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """An invoice with its lines and their tiers."""
        return call.read(lambda tx: _with_lines(tx, reference))

    @router.post("/{reference}/finalize")
    def finalize(reference: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Finalize a draft: DRAFT to OPEN."""
        return call.write(lambda tx: _shown(_states(tx).finalize(reference)))

    @router.post("/{reference}/pay")
    def pay(reference: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Note that an invoice was paid: OPEN to PAID."""
        return call.write(lambda tx: _shown(_states(tx).pay(reference)))

    @router.post("/{reference}/void")
    def void(
        reference: str, body: VoidRequest, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Void an invoice: OPEN to VOID."""
        return call.write(lambda tx: _shown(_states(tx).void(reference, body.reason)))

    return router


def _states(tx: Tx) -> InvoiceStates:
    return InvoiceStates(tx.session, tx.tenant_id, tx.actor)


def _page(tx: Tx, page: PageQuery, wanted: Wanted) -> Page:
    rows, total, following = page_of_invoices(tx.session, wanted, page)
    return Page([_shown(row) for row in rows], total, following)


def _with_lines(tx: Tx, reference: str) -> dict[str, Any]:
    row = _states(tx).get(reference)
    hidden = ("tenant_id", "invoice_id")
    lines = [
        camel({name: value for name, value in line.items() if name not in hidden})
        for line in lines_of(tx.session, row)
    ]
    return {**_shown(row), "lineItems": lines, "taxes": [camel(each) for each in taxes_of(tx.session, row)]}


def _shown(row: InvoiceRow) -> dict[str, Any]:
    fields = as_dict(row)
    fields["line_count"] = fields.pop("lines")
    return camel({name: value for name, value in fields.items() if name not in ("tenant_id", "withdrawn")})
