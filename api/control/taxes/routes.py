"""The routes of tax rates and exchange rates. Put here: reading the request, shaping the answer. Keep out: what may change
(storage.services)."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ConfigDict, Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from domain.catalog.tax_rates import written_tax_rate
from domain.quantity import plain
from storage.repositories.taxes import tax_rate_of
from storage.services.fx_rates import FxRates
from storage.services.tax_rates import TaxRateService
from storage.tables.taxes import FxRateRow, TaxRateRow


class TaxRateEdit(Body):
    """The fields to change; null clears one. Once the rate is in force, only `name` and `validUntil` can."""

    name: str | None = Field(None, description="What invoices call it.", examples=["VAT"])
    country: str | None = Field(None, description="ISO 3166, two letters.", examples=["DE"])
    region: str | None = Field(None, description="Of a part of the country only.", examples=[None])
    city: str | None = Field(None, description="Of a city of the region only.", examples=[None])
    tax_category: str | None = Field(
        None, description="Of things of this category only; none: of all that have no rate of their own."
    )
    rate_percent: Decimal | None = Field(None, description="Or `rate`, a fraction.", examples=["19"])
    inclusive: bool | None = Field(None, description="Whether prices contain the tax.", examples=[False])
    valid_from: str | None = Field(None, description="The first day.", examples=["2026-01-01"])
    valid_until: str | None = Field(None, description="The first day without it.", examples=[None])


class TaxRateBody(TaxRateEdit):
    """A tax rate: what a jurisdiction takes of what is sold there."""

    model_config = ConfigDict(
        json_schema_extra={
            "required": ["name", "country", "ratePercent", "validFrom"],
            "example": {"name": "VAT", "country": "DE", "ratePercent": 19, "validFrom": "2026-01-01"},
        }
    )

    id: str | None = Field(None, description="Made up, unless given.", examples=["de-vat"])


class FxRateBody(Body):
    """What one unit of a currency is worth in another on a day. Never edited: bills rest on it."""

    model_config = ConfigDict(
        json_schema_extra={
            "required": ["from", "to", "day", "rate"],
            "example": {"from": "USD", "to": "EUR", "day": "2026-01-31", "rate": "0.9213"},
        }
    )

    from_: str | None = Field(None, alias="from", examples=["USD"])
    to: str | None = Field(None, examples=["EUR"])
    day: str | None = Field(None, examples=["2026-01-31"])
    rate: Decimal | None = Field(None, description="Above 0.", examples=["0.9213"])
    source: str | None = Field(None, description="Where it is from.", examples=["ECB"])


def tax_rate_routes(door: Door) -> APIRouter:
    """/api/v1/tax-rates."""
    router = managed_router("/api/v1/tax-rates", "tax rates")

    @router.post("", status_code=201)
    def create(body: TaxRateBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Add a tax rate. 409 where the same tax would be levied twice."""
        return call.write(lambda tx: _tax_rate(TaxRateService(tx).create(body.sent())), status=201)

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        country: str | None = None,
        name: Annotated[str | None, Query(description="Part of the name, in any case.")] = None,
    ) -> Response:
        """All tax rates, past and future ones too, the newest first. Sort by createdAt, name or country."""
        return call.listing(
            lambda tx, query: TaxRateService(tx).page(query, country=country, name=name), _tax_rate
        )

    @router.get("/{rate_id}")
    def get(rate_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """One tax rate."""
        return call.read(lambda tx: _tax_rate(TaxRateService(tx).get(rate_id)))

    @router.patch("/{rate_id}")
    def edit(
        rate_id: str, body: TaxRateEdit, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Change a tax rate; once it is in force, its name and its end only."""
        return call.write(lambda tx: _tax_rate(TaxRateService(tx).edit(rate_id, body.sent(), call.expect)))

    @router.delete("/{rate_id}", status_code=204)
    def delete(rate_id: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Remove a tax rate that is not in force yet."""
        return call.write(lambda tx: TaxRateService(tx).delete(rate_id, call.expect))

    return router


def fx_rate_routes(door: Door) -> APIRouter:
    """/api/v1/fx-rates."""
    router = managed_router("/api/v1/fx-rates", "exchange rates")

    @router.post("", status_code=201)
    def create(body: FxRateBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Add a day's exchange rate; 409 if the day has one."""
        return call.write(lambda tx: _fx_rate(FxRates(tx).create(body.sent())), status=201)

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        from_currency: Annotated[str | None, Query(alias="from")] = None,
        to_currency: Annotated[str | None, Query(alias="to")] = None,
    ) -> Response:
        """All exchange rates, the latest day first. Sort by day."""
        return call.listing(
            lambda tx, query: FxRates(tx).page(query, from_currency=from_currency, to_currency=to_currency),
            _fx_rate,
        )

    @router.get("/{rate_id}")
    def get(rate_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """One exchange rate."""
        return call.read(lambda tx: _fx_rate(FxRates(tx).get(rate_id)))

    @router.delete("/{rate_id}", status_code=204)
    def delete(rate_id: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Remove the exchange rate of a day still to come."""
        return call.write(lambda tx: FxRates(tx).delete(rate_id))

    return router


def _tax_rate(row: TaxRateRow) -> dict[str, Any]:
    rate = tax_rate_of(row)
    unknown = dict.fromkeys(("region", "city", "taxCategory", "validUntil"))
    lasting = {"revision": row.revision, "created_at": row.created_at, "updated_at": row.updated_at}
    said = {"inclusive": rate.inclusive, "rate": plain(rate.rate), "jurisdiction": rate.jurisdiction}
    return unknown | written_tax_rate(rate) | said | camel(lasting)


def _fx_rate(row: FxRateRow) -> dict[str, Any]:
    said = {"id": row.id, "from": row.from_currency, "to": row.to_currency, "day": row.day}
    return camel({**said, "rate": plain(row.rate), "source": row.source, "created_at": row.created_at})
