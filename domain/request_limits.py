"""Limits of requests as tenants set them. Put here: whose they are, reading and writing them. Keep out: what a limit is and the usual
ones (limits.py), limits in rate plans (catalog)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.catalog.fields import FieldProblem, Fields, required
from domain.limits import ACCESS, ENTITLEMENTS, INGEST, METER, Limit, read_limit, write_limit

TENANT, EACH_KEY, PLAN, KEY = "TENANT", "EACH_KEY", "PLAN", "KEY"
"""All keys together; each key by itself; each key of customers on a plan; one key."""
DOORS = (METER, INGEST, ACCESS, ENTITLEMENTS)
_MODES = ("HARD", "SOFT")
_MOST = 1_000_000_000
_LONGEST = 86_400


def read_request_limits(fields: Fields) -> dict[str, Limit | None]:
    """`limits`, by door; None: no limit there. Raises FieldProblem."""
    found: dict[str, Limit | None] = {}
    for path, item in fields.items("limits"):
        inner = Fields(item, path)
        door = inner.choice("door", [each.upper() for each in DOORS]).lower()
        if door in found:
            raise FieldProblem(f"{path}.door", f"{door.upper()} is limited twice; limit it once")
        found[door] = None if inner.flag("unlimited") else _limit(inner)
        inner.done()
    return found


def _limit(fields: Fields) -> Limit:
    return Limit(
        required(fields, "requests", fields.whole("requests", 1, _MOST)),
        fields.whole("burst", 0, _MOST) or 0,
        fields.choice("enforcementMode", _MODES, _MODES[0]) == _MODES[0],
        fields.whole("windowSeconds", 1, _LONGEST) or 60,
    )


def stored_request_limits(limits: Mapping[str, Limit | None]) -> dict[str, str]:
    """As text by door, as the edge reads them."""
    return {door: write_limit(limits[door]) for door in DOORS if door in limits}


def written_request_limits(stored: Mapping[str, str]) -> list[dict[str, Any]]:
    """As JSON, as `read_request_limits` reads it back."""
    return [_written(door, read_limit(stored[door])) for door in DOORS if door in stored]


def _written(door: str, limit: Limit | None) -> dict[str, Any]:
    if limit is None:
        return {"door": door.upper(), "unlimited": True}
    return {
        "door": door.upper(),
        "requests": limit.requests,
        "burst": limit.burst,
        "windowSeconds": limit.window,
        "enforcementMode": _MODES[0] if limit.hard else _MODES[1],
    }
