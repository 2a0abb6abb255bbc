"""The routes of units, called metrics on the wire. Put here: paths, bodies, answers. Keep out: rules."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from api.control.answers import Told, camel
from api.control.calls import Area, Call, Door, Page, PageQuery, managed_router
from api.control.metrics.bodies import BulkBody, ImportBody, MetricBody, ProductType
from api.control.metrics.shown import told_template, told_unit
from storage.services.unit_sets import UnitSets, templates_of
from storage.services.units import Units
from storage.tenancy import Tx

Name = Annotated[str | None, Query(description="A part of the name, in any case.")]
Confirm = Annotated[str | None, Query(description="`confirmToken` of the deletion check, where it warns.")]
WithArchived = Annotated[bool, Query(alias="includeArchived", description="Archived ones too.")]


def metric_routes(door: Door) -> APIRouter:
    """Everything under /api/v1/metrics."""
    router = managed_router("/api/v1/metrics", "metrics")
    _sets(router, door)  # before the others: /templates and /export are no ids
    _reading(router, door)
    _writing(router, door)
    return router


def _sets(router: APIRouter, door: Door) -> None:
    @router.get("/templates/{product_type}")
    def templates(
        product_type: ProductType, call: Annotated[Call, Depends(door.read(Area.CATALOG))]
    ) -> Response:
        """The usual units of a type of product; `required` are those a new product starts with."""
        return call.read(lambda _: [told_template(each) for each in templates_of(product_type)])

    @router.post("/bulk")
    def bulk(body: BulkBody, call: Annotated[Call, Depends(door.write(Area.CATALOG))]) -> Response:
        """Make the units of some templates, or of all; those that exist are answered as they are."""
        names = body.template_names
        return call.write(lambda tx: [told_unit(row) for row in UnitSets(tx).seed(body.product_type, names)])

    @router.get("/export")
    def export(call: Annotated[Call, Depends(door.read(Area.CATALOG))]) -> Response:
        """Every unit that is not archived, as /import reads it."""
        return call.read(lambda tx: UnitSets(tx).export())

    @router.post("/import", status_code=201)
    def bring_in(
        body: ImportBody,
        call: Annotated[Call, Depends(door.write(Area.CATALOG))],
        skip: Annotated[bool, Query(alias="skipDuplicates", description="The same as in the body.")] = False,
    ) -> Response:
        """Create many units at once, or none. `meta.skipped` names the ones left out as duplicates."""

        def work(tx: Tx) -> Told:
            skipping = skip or body.skip_duplicates
            done = UnitSets(tx).bring_in(body.sent()["metrics"], skip_duplicates=skipping)
            counts = {"created": len(done.units), "skipped": list(done.skipped)}
            return Told([told_unit(row) for row in done.units], counts)

        return call.write(work, status=201)


def _reading(router: APIRouter, door: Door) -> None:
    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.CATALOG))],
        name: Name = None,
        product_type: Annotated[ProductType | None, Query(alias="productType")] = None,
        product: Annotated[str | None, Query(alias="productId", description="Units that meter it.")] = None,
        category: str | None = None,
        status: Literal["ACTIVE", "ARCHIVED"] | None = None,
        include_archived: WithArchived = False,
    ) -> Response:
        """A page of units, by key."""
        filters: dict[str, Any] = {
            "name": name,
            "product_type": product_type,
            "product": product,
            "category": category,
            "status": status,
            "include_archived": include_archived,
        }
        return call.listing(lambda tx, page: _page(tx, page, filters))

    @router.get("/{metric_id}")
    def one(metric_id: str, call: Annotated[Call, Depends(door.read(Area.CATALOG))]) -> Response:
        """One unit, archived or not."""
        return call.read(lambda tx: told_unit(Units(tx).get(metric_id)))

    @router.get("/{metric_id}/deletion-check")
    def deletion_check(metric_id: str, call: Annotated[Call, Depends(door.read(Area.CATALOG))]) -> Response:
        """ALLOW, WARN (delete with `?confirm=<confirmToken>`) or BLOCK, and who depends on the unit."""
        return call.read(lambda tx: Units(tx).deletion_check(metric_id).shown())


def _writing(router: APIRouter, door: Door) -> None:
    @router.post("", status_code=201)
    def create(body: MetricBody, call: Annotated[Call, Depends(door.write(Area.CATALOG))]) -> Response:
        """Create a unit. Its key and name must mean no other unit, whatever the case."""
        return call.write(lambda tx: told_unit(Units(tx).create(body.sent())), status=201)

    @router.put("/{metric_id}")
    def put(
        metric_id: str, body: MetricBody, call: Annotated[Call, Depends(door.write(Area.CATALOG))]
    ) -> Response:
        """Replace a unit: fields left out go back to their defaults."""
        return call.write(
            lambda tx: told_unit(Units(tx).edit(metric_id, body.sent(), replace=True, expect=call.expect))
        )

    @router.patch("/{metric_id}")
    def patch(
        metric_id: str, body: MetricBody, call: Annotated[Call, Depends(door.write(Area.CATALOG))]
    ) -> Response:
        """Change the fields sent; null clears one. `status: ACTIVE` restores an archived unit."""
        return call.write(lambda tx: told_unit(Units(tx).edit(metric_id, body.sent(), expect=call.expect)))

    @router.delete("/{metric_id}", status_code=204)
    def delete(
        metric_id: str, call: Annotated[Call, Depends(door.write(Area.CATALOG))], confirm: Confirm = None
    ) -> Response:
        """Archive a unit: no event and no new plan may name it; plans that price it go on."""
        return call.write(lambda tx: Units(tx).archive(metric_id, confirm, call.expect), status=204)


def _page(tx: Tx, page: PageQuery, filters: dict[str, Any]) -> Page:
    found = Units(tx).listing(page, **filters)
    return replace(found, items=[camel(dict(item)) for item in found.items])
