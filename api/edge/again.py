"""The same question in the same words. Put here: answering it from memory, with nothing read and worked out a second time.
Keep out: what answers follow from (asking.py), what is asked of Redis.

Gateways ask about the same customers with the same bodies, request by request. What a body means for a key does not change while the
key's record stands, so it is looked up by its bytes. What may change is looked at each time: whether the key is good now, whether the
rights and the counters behind the answer stand, whether the windows have room. Where any of it is not known at once, the long way is taken.
"""

from __future__ import annotations

from typing import NamedTuple

from fastapi import Request, Response

from api.edge.auth import bearer_at_once
from api.edge.bodies import Json
from api.edge.entitled import Entitled
from api.edge.known import TenantView
from api.edge.limiting import tell
from api.edge.service import EdgeService
from domain.access import KeyRecord
from storage.access_state import Found
from storage.permits import Limits

_MOST = 20_000
_MOST_BYTES = 1_024


class Before(NamedTuple):
    """A question, what it was answered with, and what that follows from. limits: the windows it counts in."""

    key: KeyRecord
    view: TenantView
    customer: str
    entitled: Entitled
    found: Found
    limits: Limits
    answer: bytes


class Again:
    """The questions of one process."""

    def __init__(self, service: EdgeService) -> None:
        self._service = service
        self._before: dict[tuple[str, bytes], Before] = {}

    def answer(self, request: Request, sent: bytes) -> Response | None:
        """As before, and counted in its windows; None: take the long way."""
        service = self._service
        known = bearer_at_once(service, request)
        before = None if known is None else self._before.get((known.sha, sent))
        if before is None or known is None or before.key is not known.record:
            return None
        tenant_id = before.key.tenant_id
        view = service.known.tenant_at_once(tenant_id)
        if view is not before.view or view.entitled(before.customer, service.stamp()) is not before.entitled:
            return None
        if service.nearby.standing(tenant_id, before.customer) is not before.found:
            return None
        counted = service.nearby.permit(tenant_id, before.limits)
        if counted is None:
            return None
        tell(request, before.limits, counted)
        service.meters.from_memory += 1
        return Json(before.answer)

    def keep(self, request: Request, sent: bytes, before: Before) -> None:
        """This was answered so."""
        known = bearer_at_once(self._service, request)
        if known is None or known.record is not before.key or len(sent) > _MOST_BYTES:
            return
        if len(self._before) >= _MOST:
            self._before.clear()
        self._before[known.sha, sent] = before
