"""The routes of products. Put here: paths, bodies, answers. Keep out: rules."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from api.control.answers import camel
from api.control.calls import Area, Call, Door, Page, PageQuery, managed_router
from api.control.metrics.bodies import ProductType
from api.control.products.bodies import ProductBody
from storage.services.products import Products
from storage.services.units import Units
from storage.tenancy import Tx

Name = Annotated[str | None, Query(description="A part of the name, in any case.")]
Confirm = Annotated[str | None, Query(description="`confirmToken` of the deletion check, where it warns.")]
WithArchived = Annotated[bool, Query(alias="includeArchived", description="Archived ones too.")]


def product_routes(door: Door) -> APIRouter:
    """Everything under /api/v1/products."""
    router = managed_router("/api/v1/products", "products")
    _reading(router, door)
    _writing(router, door)
    _metering(router, door)
    return router


def _reading(router: APIRouter, door: Door) -> None:
    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.CATALOG))],
        name: Name = None,
        product_type: Annotated[ProductType | None, Query(alias="productType")] = None,
        status: Literal["DRAFT", "ACTIVE", "ARCHIVED"] | None = None,
        include_archived: WithArchived = False,
    ) -> Response:
        """A page of products, by name."""
        filters: dict[str, Any] = {
            "name": name,
            "product_type": product_type,
            "status": status,
            "include_archived": include_archived,
        }
        return call.listing(lambda tx, page: _page(Products(tx).listing(page, **filters)))

    @router.get("/{product_id}")
    def one(product_id: str, call: Annotated[Call, Depends(door.read(Area.CATALOG))]) -> Response:
        """One product, archived or not, with the ids of its units."""
        return call.read(lambda tx: told_product(Products(tx).get(product_id)))

    @router.get("/{product_id}/deletion-check")
    def deletion_check(product_id: str, call: Annotated[Call, Depends(door.read(Area.CATALOG))]) -> Response:
        """ALLOW, WARN (delete with `?confirm=<confirmToken>`) or BLOCK, and who depends on the product."""
        return call.read(lambda tx: Products(tx).deletion_check(product_id).shown())


def _writing(router: APIRouter, door: Door) -> None:
    @router.post("", status_code=201)
    def create(body: ProductBody, call: Annotated[Call, Depends(door.write(Area.CATALOG))]) -> Response:
        """Create a product; without units sent it gets the usual ones of its type."""
        return call.write(lambda tx: told_product(Products(tx).create(body.sent())), status=201)

    @router.put("/{product_id}")
    def put(
        product_id: str, body: ProductBody, call: Annotated[Call, Depends(door.write(Area.CATALOG))]
    ) -> Response:
        """Replace a product: fields left out go back to their defaults; its status and units stay."""
        return call.write(
            lambda tx: told_product(
                Products(tx).edit(product_id, body.sent(), replace=True, expect=call.expect)
            )
        )

    @router.patch("/{product_id}")
    def patch(
        product_id: str, body: ProductBody, call: Annotated[Call, Depends(door.write(Area.CATALOG))]
    ) -> Response:
        """Change the fields sent; null clears one, metadata is merged. `status: ACTIVE` restores an archived product."""
        return call.write(
            lambda tx: told_product(Products(tx).edit(product_id, body.sent(), expect=call.expect))
        )

    @router.delete("/{product_id}", status_code=204)
    def delete(
        product_id: str, call: Annotated[Call, Depends(door.write(Area.CATALOG))], confirm: Confirm = None
    ) -> Response:
        """Archive a product: it leaves the lists and frees its name; its units stay."""
        return call.write(lambda tx: Products(tx).archive(product_id, confirm, call.expect), status=204)


def _metering(router: APIRouter, door: Door) -> None:
    @router.get("/{product_id}/metrics")
    def units(product_id: str, call: Annotated[Call, Depends(door.read(Area.CATALOG))]) -> Response:
        """A page of the units that meter the product."""
        return call.listing(lambda tx, page: _units(tx, page, product_id))

    @router.post("/{product_id}/metrics/{metric_id}")
    def associate(
        product_id: str, metric_id: str, call: Annotated[Call, Depends(door.write(Area.CATALOG))]
    ) -> Response:
        """Let a unit meter the product."""
        return call.write(lambda tx: told_product(Products(tx).associate(product_id, metric_id)))

    @router.delete("/{product_id}/metrics/{metric_id}", status_code=204)
    def dissociate(
        product_id: str, metric_id: str, call: Annotated[Call, Depends(door.write(Area.CATALOG))]
    ) -> Response:
        """Let a unit meter the product no more."""
        return call.write(lambda tx: Products(tx).dissociate(product_id, metric_id, call.expect), status=204)


def told_product(found: Mapping[str, Any]) -> dict[str, Any]:
    """`{id, key, name, type, description, audience, maturityStage, status, metadata, units, revision, …}`."""
    return camel(dict(found)) | {"metadata": found["metadata"]}  # its names are the caller's


def _page(found: Page) -> Page:
    return replace(found, items=[told_product(item) for item in found.items])


def _units(tx: Tx, page: PageQuery, product_id: str) -> Page:
    Products(tx).get(product_id)
    found = Units(tx).listing(page, product=product_id)
    return replace(found, items=[camel(dict(item)) for item in found.items])
