"""Bodies of products. Put here: the fields and an example of each. Keep out: rules (domain.catalog.products)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.control.bodies import Body
from domain.catalog.products import STATUSES, TYPES

NAME_PATTERN = r"^[a-zA-Z0-9\s\-_.]+$"


class ProductBody(Body):
    """A product. For type API, metadata must have base_path and api_version."""

    key: str | None = Field(
        None, description="Stable identifier; made if left out.", examples=["translation"]
    )
    name: str | None = Field(
        None,
        description="Shown name, unique among products on offer: letters, digits, spaces, - _ and dots.",
        examples=["Translation API"],
        json_schema_extra={"pattern": NAME_PATTERN},
    )
    type: str | None = Field(
        None, description="What kind of product.", examples=["API"], json_schema_extra={"enum": [*TYPES]}
    )
    description: str | None = Field(None, examples=["Translates documents"])
    audience: str | None = Field(None, description="Who it is for.", examples=["PUBLIC"])
    maturity_stage: str | None = Field(
        None, description="How far along it is.", examples=["GENERAL_AVAILABILITY"]
    )
    status: str | None = Field(
        None,
        description="DRAFT or ACTIVE (default). Archive a product by deleting it; ACTIVE restores it.",
        examples=["ACTIVE"],
        json_schema_extra={"enum": [*STATUSES]},
    )
    metadata: dict[str, Any] | None = Field(
        None,
        description="Anything worth keeping beside it.",
        examples=[{"base_path": "/v2", "api_version": "2.0"}],
    )
    units: list[str] | None = Field(
        None,
        description="Ids of the units that meter it (also: metricIds). Left out at creation: the usual ones of its type.",
        examples=[["api_calls"]],
    )
