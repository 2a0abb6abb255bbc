"""How the management door answers. Put here: the success envelope and paging. Keep out: problems (api.problems), routes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from domain.spelling import on_the_wire


@dataclass(frozen=True, slots=True)
class Told:
    """What a route's work has to say where the plain data will not do: with `meta`, or with its own status."""

    data: Any
    meta: dict[str, Any] = field(default_factory=dict)
    status: int | None = None


def success(data: Any, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """`{success, data, meta}`."""
    return {"success": True, "data": data, "meta": meta or {}}


def camel(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as JSON: camelCase names, decimals as exact text, instants as RFC 3339."""
    return {on_the_wire(name): _value(value) for name, value in fields.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return camel(value)
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    return value
