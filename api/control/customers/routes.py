"""The routes of customers. Put here: reading the request, shaping the answer. Keep out: what may happen to a customer."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, PageQuery, managed_router
from domain.catalog.customers import written_customer
from storage.repositories.customers import Customers as CustomerRepository
from storage.repositories.customers import customer_of
from storage.repositories.paging import keyset
from storage.services.customers import Customers
from storage.tables.customers import CustomerRow
from storage.tenancy import Tx

SORTS = {"createdAt": CustomerRow.created_at, "name": CustomerRow.name, "id": CustomerRow.id}
Reading = Literal["ACTIVE", "ARCHIVED"]


class CustomerBody(Body):
    """A customer; edits send what changes, and null clears a field."""

    name: str | None = Field(None, description="Required.", examples=["Initech"])
    email: str | None = Field(None, description="Required.", examples=["billing@initech.example"])
    plan: str | None = Field(
        None, description="Required: STANDARD, BUSINESS or ENTERPRISE.", examples=["STANDARD"]
    )
    default_currency: str | None = Field(
        None, description="ISO 4217; fixed once subscribed. The tenant's, unless given.", examples=["USD"]
    )
    time_zone: str | None = Field(
        None, description="Billing periods are cut in it; fixed once subscribed.", examples=["Europe/Madrid"]
    )
    external_id: str | None = Field(
        None, description="Yours; unique among customers in use.", examples=["crm-17"]
    )
    tax_status: dict[str, Any] | str | None = Field(
        None,
        description="status STANDARD, EXEMPT or REVERSE_CHARGE (which needs taxId), taxId, country.",
        examples=[{"status": "REVERSE_CHARGE", "taxId": "DE123456789", "country": "DE"}],
    )
    address: dict[str, Any] | None = Field(
        None, examples=[{"line1": "1 Main St", "city": "Berlin", "postalCode": "10115", "country": "DE"}]
    )
    billing_entity: str | None = Field(None, description="Who bills it; the default issuer, unless given.")
    metadata: dict[str, Any] | None = Field(None, examples=[{"segment": "smb"}])
    payment_due_days: int | None = Field(
        None, description="Days to pay its invoices; the tenant's, unless given.", examples=[14]
    )


def customer_routes(door: Door) -> APIRouter:
    """Under /api/v1/customers."""
    router = managed_router("/api/v1/customers", "customers")
    _reading(router, door)
    _changing(router, door)
    return router


def _reading(router: APIRouter, door: Door) -> None:
    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.CUSTOMERS))],
        name: Annotated[str | None, Query(description="A part of it, in any case.")] = None,
        email: str | None = None,
        external_id: Annotated[str | None, Query(alias="externalId")] = None,
        status: Reading | None = None,
        archived: Annotated[bool, Query(alias="includeArchived")] = False,
    ) -> Response:
        """A page of customers; sort by createdAt, name or id."""

        def work(tx: Tx, page: PageQuery) -> Any:
            query = CustomerRepository(tx.session, tx.tenant_id).matching(
                name=name, email=email, external_id=external_id, status=status, archived=archived
            )
            return keyset(tx.session, query, SORTS, page)

        return call.listing(work, shown_customer)

    @router.get("/{customer_id}")
    def one(customer_id: str, call: Annotated[Call, Depends(door.read(Area.CUSTOMERS))]) -> Response:
        """A customer, archived ones too."""
        return call.read(lambda tx: shown_customer(Customers(tx).get(customer_id)))

    @router.get("/{customer_id}/deletion-check")
    def check(customer_id: str, call: Annotated[Call, Depends(door.read(Area.CUSTOMERS))]) -> Response:
        """Whether it may be archived: ALLOW, WARN (with confirm=true) or BLOCK, and why."""
        return call.read(lambda tx: Customers(tx).check_deletion(customer_id).shown())


def _changing(router: APIRouter, door: Door) -> None:
    @router.post("", status_code=201)
    def create(body: CustomerBody, call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))]) -> Response:
        """Create a customer."""
        return call.write(lambda tx: shown_customer(Customers(tx).create(body.sent())), status=201)

    @router.put("/{customer_id}")
    def replace(
        customer_id: str, body: CustomerBody, call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))]
    ) -> Response:
        """Make the customer what the body says; fields it leaves out are cleared."""
        return call.write(
            lambda tx: shown_customer(Customers(tx).edit(customer_id, body.sent(), call.expect, whole=True))
        )

    @router.patch("/{customer_id}")
    def edit(
        customer_id: str, body: CustomerBody, call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))]
    ) -> Response:
        """Change the fields sent."""
        return call.write(
            lambda tx: shown_customer(Customers(tx).edit(customer_id, body.sent(), call.expect))
        )

    @router.delete("/{customer_id}", status_code=204)
    def archive(
        customer_id: str,
        call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))],
        confirm: Annotated[str | None, Query(description="`true`, where the deletion check warns.")] = None,
    ) -> Response:
        """Archive a customer with its teams, apps and agents, and revoke its keys."""
        return call.write(lambda tx: Customers(tx).archive(customer_id, confirm=confirm, expect=call.expect))


def shown_customer(row: CustomerRow) -> dict[str, Any]:
    """A customer as answers show it."""
    lasting = {
        "status": row.status,
        "revision": row.revision,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "archived_at": row.archived_at,
    }
    usual = {"email": None, "externalId": None, "taxStatus": None, "address": None, "billingEntity": None}
    return usual | {"metadata": {}} | written_customer(customer_of(row)) | camel(lasting)
