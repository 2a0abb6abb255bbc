"""Units and deletion checks as answers. Put here: their shapes on the wire. Keep out: routes."""

from __future__ import annotations

from typing import Any

from api.control.answers import camel
from domain.catalog.templates import Template
from storage.services.units import shown_unit
from storage.tables.catalog import UnitRow


def told_unit(row: UnitRow) -> dict[str, Any]:
    """`{id, key, name, unitLabel, aggregationType, eventField, …, revision, createdAt, updatedAt, archivedAt}`."""
    return camel(shown_unit(row))


def told_template(template: Template) -> dict[str, Any]:
    """`{name, unitLabel, aggregationType, eventField, description, required, key, category}`."""
    unit = template.unit()
    return {
        "name": unit.name,
        "unitLabel": unit.unit_label,
        "aggregationType": unit.aggregation,
        "eventField": unit.event_field,
        "description": unit.description,
        "required": unit.required,
        "key": unit.key,
        "category": unit.category,
    }
