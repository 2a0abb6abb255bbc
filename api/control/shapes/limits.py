"""Shapes of what holds customers and keys back. Keep out: rules."""

from __future__ import annotations

from pydantic import Field

from api.control.shapes.shown import Instant, Shown


class RequestLimit(Shown):
    """How many requests a door takes; `unlimited` stands alone."""

    door: str = Field(examples=["METER"])
    requests: int | None = None
    burst: int | None = None
    window_seconds: int | None = None
    enforcement_mode: str | None = Field(None, examples=["HARD"])
    unlimited: bool | None = None


class RequestLimits(Shown):
    """The limits of a scope. revision 0: none were ever set."""

    scope: str = Field(examples=["KEY"])
    target_id: str | None
    limits: list[RequestLimit]
    revision: int
    updated_at: Instant | None


class MarginLevel(Shown):
    """How far a customer is restricted. revision 0: no level was ever set."""

    customer_id: str
    level: str = Field(examples=["L2_THROTTLE"])
    throttle_rate: int = Field(description="Percent of requests let through at L2.")
    retry_after_seconds: int
    message: str | None
    revision: int
    updated_at: Instant | None


class KilledSession(Shown):
    """A session whoever meters with it is told to stop."""

    session_id: str
    reason: str | None
    killed_at: Instant
    until: Instant
