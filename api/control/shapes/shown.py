"""What all shapes are made of. Put here: kinds of values. Keep out: nouns."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Exact = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["12.50"], description="An exact decimal.")]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T00:00:00Z"])]
Day = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2026-01-31"])]
Object = dict[str, Any]


class Shown(BaseModel):
    """A part of an answer. A field without a default is always there."""

    model_config = ConfigDict(alias_generator=to_camel)


class Kept(Shown):
    """A thing that is edited; its `revision` is its ETag."""

    revision: int
    created_at: Instant
    updated_at: Instant
    archived_at: Instant | None
