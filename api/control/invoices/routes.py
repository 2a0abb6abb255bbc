"""The routes of invoices. Put here: reading the request, shaping the answer. Keep out: what may happen to an invoice."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import Engine

from api.control.answers import camel, page, success
from api.control.operator import Operators
from domain.period import parse_month
from storage.database import session_scope
from storage.repositories.invoice_states import (
    InvoiceStates,
    Wanted,
    as_dict,
    count_invoices,
    find_invoices,
    lines_of,
)
from storage.tables.invoices import InvoiceRow


class VoidRequest(BaseModel):
    """Why an invoice is voided."""

    reason: str = Field(min_length=1, max_length=500)


def invoice_routes(engine: Engine, operators: Operators) -> APIRouter:
    """GET and POST under /api/v1/invoices; `id` is the invoice's id or its number."""
    router = APIRouter(prefix="/api/v1/invoices", tags=["invoices"])

    @router.get("")
    def listing(
        tenant: Annotated[str, Depends(operators.tenant)],
        customer: Annotated[str | None, Query(alias="customerId")] = None,
        month: str | None = None,
        status: Literal["DRAFT", "OPEN", "PAID", "VOID"] | None = None,
        number: Annotated[int, Query(alias="page", ge=0)] = 0,
        size: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """A page of invoices, by month and number."""
        if month is not None:
            parse_month(month)
        wanted = Wanted(tenant, customer, month, status)
        with session_scope(engine) as session:
            total = count_invoices(session, wanted)
            found = find_invoices(session, wanted, limit=size, offset=number * size)
        return page([_shown(row) for row in found], number=number, size=size, total=total)

    @router.get("/{reference}")
    def one(reference: str, tenant: Annotated[str, Depends(operators.tenant)]) -> dict[str, Any]:
        """An invoice with its lines and their tiers."""
        with session_scope(engine) as session:
            row = InvoiceStates(session, tenant).get(reference)
            lines = lines_of(session, row)
        hidden = ("tenant_id", "invoice_id")
        shown = [camel({name: value for name, value in line.items() if name not in hidden}) for line in lines]
        return success({**_shown(row), "lineItems": shown})

    @router.post("/{reference}/finalize")
    def finalize(reference: str, tenant: Annotated[str, Depends(operators.tenant)]) -> dict[str, Any]:
        """DRAFT to OPEN."""
        with session_scope(engine) as session:
            return success(_shown(InvoiceStates(session, tenant).finalize(reference)))

    @router.post("/{reference}/pay")
    def pay(reference: str, tenant: Annotated[str, Depends(operators.tenant)]) -> dict[str, Any]:
        """OPEN to PAID."""
        with session_scope(engine) as session:
            return success(_shown(InvoiceStates(session, tenant).pay(reference)))

    @router.post("/{reference}/void")
    def void(
        reference: str, body: VoidRequest, tenant: Annotated[str, Depends(operators.tenant)]
    ) -> dict[str, Any]:
        """OPEN to VOID."""
        with session_scope(engine) as session:
            return success(_shown(InvoiceStates(session, tenant).void(reference, body.reason)))

    return router


def _shown(row: InvoiceRow) -> dict[str, Any]:
    fields = as_dict(row)
    fields["line_count"] = fields.pop("lines")
    return camel({name: value for name, value in fields.items() if name not in ("tenant_id", "withdrawn")})
