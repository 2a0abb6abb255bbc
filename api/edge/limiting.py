"""Limits on the wire. Put here: the headers of a counted request, and refusing one. Keep out: counting, what the limits are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fastapi import Request

from api.edge.service import EdgeService
from api.problems import Problem
from domain.access import KeyRecord
from domain.limits import Counted, Limit

_SOFT = (b"x-ratelimit-warning", b"limit-exceeded-soft-mode")


def tell(
    request: Request,
    limits: Sequence[tuple[str, Limit]],
    counted: Sequence[Counted],
    *,
    refused: bool = False,
) -> None:
    """Put the tightest window's headers on the answer. Raises Problem 429 if the request was refused."""
    if not counted:
        return
    nth = 0
    if len(counted) > 1:
        nth = min(range(len(counted)), key=lambda n: (not counted[n].over, counted[n].remaining))
    tightest = counted[nth]
    headers = [
        (b"x-ratelimit-remaining", b"%d" % tightest.remaining),
        (b"x-ratelimit-reset", b"%d" % tightest.reset),
        *_of_limit(limits[nth][1]),
    ]
    request.scope.setdefault("state", {})["headers"] = headers
    if refused:
        raise _refusal(limits, counted)
    if tightest.over:
        headers.append(_SOFT)


@lru_cache(maxsize=10_000)
def _of_limit(limit: Limit) -> tuple[tuple[bytes, bytes], ...]:
    return (b"x-ratelimit-limit", b"%d" % limit.ceiling), (b"x-ratelimit-window", b"%d" % limit.window)


def _refusal(limits: Sequence[tuple[str, Limit]], counted: Sequence[Counted]) -> Problem:
    over = [
        (*named, found) for named, found in zip(limits, counted, strict=True) if found.over and named[1].hard
    ]
    name, limit, _ = over[0]
    wait = max(1, -(-max(c.wait_ms for _, _, c in over) // 1000))
    whose = "this API key" if ":key:" in name else "this tenant"
    detail = f"More than {limit.ceiling} requests in {limit.window} s with {whose}; go on in {wait} s."
    return Problem(
        429, detail, code="RATE_LIMITED", headers={"Retry-After": str(wait)}, extra={"retryAfter": wait}
    )


async def count(service: EdgeService, request: Request, key: KeyRecord, door: str) -> None:
    """Count a request whose work takes round trips of its own. Raises Problem 429."""
    view = await service.known.tenant(key.tenant_id)
    if key.customer_id:
        await service.known.rights(view, [key.customer_id])
    limits = service.limits(key, view, door)
    answers = await service.together.ask(key.tenant_id, limits, ())
    tell(request, limits, answers.limits, refused=answers.refused)
