"""Bodies of units. Put here: the fields and an example of each. Keep out: rules (domain.catalog.units)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.control.bodies import Body
from domain.catalog.products import TYPES
from domain.catalog.units import AGGREGATIONS, ALIASES, OPERATORS, STATUSES

ProductType = Literal[
    "API", "AI_AGENT", "MCP_SERVER", "AGENTIC_API", "GRAPHQL_API", "GRPC_API", "WEBSOCKET_API", "MQTT_BROKER",
]  # fmt: skip
_TYPE = {"enum": [*TYPES]}
_TYPES = {"items": {"type": "string", **_TYPE}}


class ConditionBody(Body):
    """A test on a field of the event. Numbers are compared as numbers; IN and NOT_IN take a list or values with commas."""

    field: str | None = Field(
        None, description="A field of the event or of its metadata.", examples=["statusCode"]
    )
    operator: str | None = Field(None, examples=["LESS_THAN"], json_schema_extra={"enum": [*OPERATORS]})
    value: Any = Field(None, description="Text, a number, or a list of them.", examples=["400"])


class MetricBody(Body):
    """A billable unit. What it counts (aggregationType, eventField, filterConditions) is fixed once a rate plan prices it."""

    key: str | None = Field(
        None, description="Stable identifier; made from the name if left out.", examples=["api_calls"]
    )
    name: str | None = Field(None, description="Shown name; events may carry it too.", examples=["API Calls"])
    unit_label: str | None = Field(None, description="What one of it is called.", examples=["calls"])
    aggregation_type: str | None = Field(
        None,
        description="How a period's events become one value. COUNT_DISTINCT is UNIQUE, P95 is PERCENTILE_95.",
        examples=["COUNT"],
        json_schema_extra={"enum": [*AGGREGATIONS, *ALIASES]},
    )
    event_field: str | None = Field(
        None,
        description="What the quantity of an event is, or for UNIQUE which field's values count.",
        examples=["request_count"],
    )
    product_types: list[str] | None = Field(
        None, description="Types of products it is meant for.", json_schema_extra=_TYPES
    )
    description: str | None = Field(None, examples=["Requests that were answered"])
    required: bool | None = Field(
        None, description="Whether a product of its types should have it.", examples=[True]
    )
    category: str | None = Field(None, description="What to list it under.", examples=["usage"])
    filter_conditions: list[ConditionBody] | None = Field(
        None, description="All must hold for an event to count."
    )
    allow_negative: bool | None = Field(
        None, description="Whether negative quantities correct it.", examples=[False]
    )
    status: str | None = Field(
        None,
        description="ACTIVE (default). Archive a unit by deleting it; ACTIVE restores it.",
        examples=["ACTIVE"],
        json_schema_extra={"enum": [*STATUSES]},
    )


class BulkBody(Body):
    """Which templates to make units of."""

    product_type: str = Field(
        description="Type of product.", examples=["MCP_SERVER"], json_schema_extra=_TYPE
    )
    template_names: list[str] | None = Field(
        None,
        description="Some of the type's templates; left out: all.",
        examples=[["MCP Tool Calls"]],
        min_length=1,
    )


class ImportBody(Body):
    """Units as an export wrote them."""

    metrics: list[dict[str, Any]] = Field(
        description="The units; see MetricBody.",
        examples=[[{"key": "calls", "name": "Calls", "aggregationType": "COUNT"}]],
    )
    skip_duplicates: bool = Field(False, description="Leave out units whose key or name is taken.")
