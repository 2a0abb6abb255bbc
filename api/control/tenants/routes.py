"""The routes of tenants. Put here: reading the request, shaping the answer. Keep out: what may happen to a tenant."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, Told, managed_router
from api.control.paging import page_query
from storage.repositories.paging import keyset
from storage.services.tenants import Tenants
from storage.tables.tenants import TenantRow
from storage.tenancy import Tx

SORTS = {"createdAt": TenantRow.created_at, "name": TenantRow.name, "id": TenantRow.id}

_LIST = {"type": "array", "items": {"$ref": "#/components/schemas/Tenant"}}
_BARE = {"type": "object", "required": ["data"], "properties": {"data": _LIST, "success": False}}
BARE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": _BARE}}}}
"""The answer without the envelope, as the API reference shows it."""


class TenantBody(Body):
    """A tenant to be."""

    name: str | None = Field(None, description="Required.", examples=["Acme [EU]"])
    external_id: str | None = Field(
        None, description="Asked for again, it is the same tenant.", examples=["crm-4711"]
    )
    tier: str | None = Field(None, examples=["starter"])
    description: str | None = None
    currency: str | None = Field(None, description="ISO 4217; what its customers are billed in by default.")
    time_zone: str | None = Field(None, examples=["Europe/Madrid"])
    metadata: dict[str, Any] | None = None


def tenant_routes(door: Door) -> APIRouter:
    """Under /api/v1/internal/tenants, for the installation's own token."""
    router = managed_router("/api/v1/internal/tenants", "tenants")

    @router.get("", responses=BARE)
    def listing(
        call: Annotated[Call, Depends(door.read(Area.TENANTS))],
        external_id: Annotated[str | None, Query(alias="externalId")] = None,
        archived: Annotated[bool, Query(alias="includeArchived")] = False,
    ) -> Response:
        """Tenants, or the one with an external id. Answered as `{data}` alone."""

        def work(tx: Tx) -> dict[str, Any]:
            query = Tenants(tx).matching(external_id=external_id, archived=archived)
            rows, _, following = keyset(tx.session, query, SORTS, page_query(call.request.query_params))
            found: dict[str, Any] = {"data": [shown_tenant(row) for row in rows]}
            return found | ({"meta": {"nextCursor": following}} if following else {})

        return call.read(work, envelope=False)

    @router.post(
        "", status_code=201, responses={200: {"description": "There was one with this external id."}}
    )
    def create(body: TenantBody, call: Annotated[Call, Depends(door.write(Area.TENANTS))]) -> Response:
        """Create a tenant with a default billing entity; with an external id in use, answer with the tenant that has it."""

        def work(tx: Tx) -> Told:
            row, is_new = Tenants(tx).create(body.sent())
            return Told(shown_tenant(row), status=201 if is_new else 200)

        return call.write(work, status=201)

    @router.get("/{tenant_id}")
    def one(tenant_id: str, call: Annotated[Call, Depends(door.read(Area.TENANTS))]) -> Response:
        """A tenant."""
        return call.read(lambda tx: shown_tenant(Tenants(tx).get(tenant_id)))

    @router.delete("/{tenant_id}", status_code=204)
    def archive(tenant_id: str, call: Annotated[Call, Depends(door.write(Area.TENANTS))]) -> Response:
        """Archive a tenant: its keys stop, it is hidden, nothing is deleted."""
        return call.write(lambda tx: Tenants(tx).archive(tenant_id, call.expect))

    return router


def shown_tenant(row: TenantRow) -> dict[str, Any]:
    """A tenant as answers show it."""
    shown = camel(
        {
            "id": row.id,
            "external_id": row.external_id,
            "name": row.name,
            "tier": row.tier,
            "description": row.description,
            "currency": row.currency,
            "time_zone": row.time_zone,
            "status": "ACTIVE" if row.archived_at is None else "ARCHIVED",
            "revision": row.revision,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "archived_at": row.archived_at,
        }
    )
    return shown | {"metadata": row.details.get("metadata", {})}
