"""The routes of billing entities. Put here: reading the request, shaping the answer. Keep out: what may happen to an issuer."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, PageQuery, managed_router
from domain.catalog.fields import Fields
from domain.catalog.issuers import written_entity
from storage.repositories.billing_entities import entity_of
from storage.repositories.paging import keyset
from storage.services.billing_entities import BillingEntities
from storage.services.tenants import Tenants
from storage.tables.tenants import BillingEntityRow
from storage.tenancy import Tx

SORTS = {
    "createdAt": BillingEntityRow.created_at,
    "displayName": BillingEntityRow.name,
    "id": BillingEntityRow.id,
}
_ADDRESS = {"line1": "1 Main St", "city": "Austin", "region": "TX", "postalCode": "78701", "country": "US"}


class BillingEntityBody(Body):
    """An issuer of invoices; edits send what changes, and null clears a field."""

    code: str | None = Field(None, description="Never changes; made up, unless given.", examples=["US"])
    display_name: str | None = Field(None, examples=["Acme US"])
    legal_name: str | None = Field(None, examples=["Acme Inc."])
    base_currency: str | None = Field(None, description="ISO 4217; never changes.", examples=["USD"])
    reporting_currency: str | None = Field(None, examples=["EUR"])
    time_zone: str | None = Field(None, examples=["America/Chicago"])
    invoice_prefix: str | None = Field(None, description="Fixed with the first invoice.", examples=["US"])
    invoice_number_format: str | None = Field(
        None,
        description="{prefix}, {year} and {seq:0000} in this order, with separators between.",
        examples=["{prefix}-{year}-{seq:0000}"],
    )
    rounding_mode: str | None = Field(None, description="HALF_EVEN or HALF_UP.", examples=["HALF_EVEN"])
    tax_registration: str | None = Field(None, examples=["US-12-3456789"])
    registered_in: list[str] | None = Field(
        None, description="Where it collects tax; none: everywhere.", examples=[["DE", "US-CA"]]
    )
    address: dict[str, Any] | None = Field(None, examples=[_ADDRESS])
    branding: dict[str, Any] | None = Field(
        None,
        examples=[
            {"logoUrl": "https://acme.example/logo.png", "primaryColor": "#1A2B3C", "footer": "Thank you."}
        ],
    )
    is_default: bool | None = Field(None, description="true makes it the default instead of the one that is.")


class ProvisionBody(Body):
    """What a tenant's default issuer is to be."""

    tenant_id: str | None = Field(
        None, description="Required, unless X-Tenant-Id says it.", examples=["acme"]
    )
    display_name: str | None = Field(None, examples=["Acme"])
    base_currency: str | None = Field(None, examples=["USD"])
    country_code: str | None = Field(None, examples=["US"])
    address: dict[str, Any] | None = Field(None, examples=[_ADDRESS])


def billing_entity_routes(door: Door) -> APIRouter:
    """Under /api/v1/billing-entities."""
    router = managed_router("/api/v1/billing-entities", "billing entities")

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        archived: Annotated[bool, Query(alias="includeArchived")] = False,
    ) -> Response:
        """A page of issuers; sort by createdAt, displayName or id."""

        def work(tx: Tx, page: PageQuery) -> Any:
            query = BillingEntities(tx).matching(archived=archived)
            return keyset(tx.session, query, SORTS, page)

        return call.listing(work, shown_entity)

    @router.post("", status_code=201)
    def create(body: BillingEntityBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Create an issuer."""
        return call.write(lambda tx: shown_entity(BillingEntities(tx).create(body.sent())), status=201)

    @router.get("/{entity_id}")
    def one(entity_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """An issuer, archived ones too."""
        return call.read(lambda tx: shown_entity(BillingEntities(tx).get(entity_id)))

    @router.patch("/{entity_id}")
    def edit(
        entity_id: str, body: BillingEntityBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Change the fields sent."""
        return call.write(
            lambda tx: shown_entity(BillingEntities(tx).edit(entity_id, body.sent(), call.expect))
        )

    @router.delete("/{entity_id}", status_code=204)
    def archive(entity_id: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Archive an issuer that bills nobody any more."""
        return call.write(lambda tx: BillingEntities(tx).archive(entity_id, call.expect))

    return router


def provisioning_routes(door: Door) -> APIRouter:
    """Under /internal/v1/billing-entities, for the installation's own token."""
    router = managed_router("/internal/v1/billing-entities", "billing entities")

    @router.post("/provision-default")
    def provision(
        body: ProvisionBody,
        call: Annotated[Call, Depends(door.write(Area.TENANTS))],
        x_tenant_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The tenant's default issuer, filled in unless somebody already did; again, the same."""

        def work(tx: Tx) -> dict[str, Any]:
            sent = body.sent()
            tenant_id = Fields(sent if sent.get("tenantId") else {"tenantId": x_tenant_id}, "").text(
                "tenantId"
            )
            Tenants(tx).get(tenant_id)
            row = BillingEntities(tx.of(tenant_id)).provision_default(sent)
            return {"entityId": row.id, "tenantId": tenant_id} | shown_entity(row)

        return call.write(work)

    return router


def shown_entity(row: BillingEntityRow) -> dict[str, Any]:
    """An issuer as answers show it."""
    lasting = {
        "is_default": row.is_default,
        "revision": row.revision,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "archived_at": row.archived_at,
    }
    unknown = ("legalName", "reportingCurrency", "taxRegistration", "registeredIn", "address", "branding")
    return {"id": row.id, **dict.fromkeys(unknown), **written_entity(entity_of(row)), **camel(lasting)}
