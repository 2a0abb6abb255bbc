"""The route of invoice previews. Put here: which month, shaping the answer. Keep out: the pipeline."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from api.control.answers import camel
from api.control.calls import Area, Call, Door, managed_router
from domain.period import billing_month
from storage.lake import Lake
from storage.services.invoice_preview import invoice_preview
from storage.services.known_customers import known_customer
from storage.tenancy import Tx

_LINE = (
    "line_id", "subscription_id", "line_type", "description", "unit", "model", "period_start", "period_end", "events",
    "quantity", "included", "billable", "currency", "amount", "commit_adjustment", "discount", "taxable", "tax", "tiers",
    "destination", "hold_reason",
)  # fmt: skip


def preview_routes(door: Door) -> APIRouter:
    """GET /api/v1/customers/{id}/invoice-preview."""
    router = managed_router("/api/v1/customers", "invoices")

    @router.get("/{customer_id}/invoice-preview")
    def preview(
        customer_id: str,
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        month: Annotated[str | None, Query(description="YYYY-MM; this month, unless given.")] = None,
    ) -> Response:
        """What the month's invoices would be with the usage that has arrived: the stages that bill, and nothing written."""

        def work(tx: Tx) -> dict[str, Any]:
            customer = known_customer(tx, customer_id)
            asked = month or billing_month(tx.at, customer.time_zone)
            found = invoice_preview(tx.session, Lake(door.lake_url), tx.tenant_id, customer_id, asked)
            return {
                "customerId": customer_id,
                "month": asked,
                "asOf": camel({"at": tx.at})["at"],
                "invoices": [
                    camel({k: v for k, v in row.items() if k != "tenant_id"}) for row in found["settlements"]
                ],
                "lineItems": [camel({name: line.get(name) for name in _LINE}) for line in found["lines"]],
            }

        return call.read(work)

    return router
