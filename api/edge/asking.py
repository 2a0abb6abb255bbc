"""Asking about access. Put here: a question with what it takes to answer it, from Redis or from the snapshot. Keep out: routes,
the decision, how answers are spelled."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from fastapi import Request, Response
from redis.exceptions import RedisError

from api.edge.auth import authenticate, gateway_key
from api.edge.entitled import Entitled
from api.edge.known import HotStateMissing, TenantView
from api.edge.limiting import tell
from api.edge.service import EdgeService
from api.meters import now as clock
from domain.access import CustomerRights, KeyRecord, MarginLevel
from domain.entitlement import Decision, Grant, decide
from domain.errors import TransientFailure
from domain.limits import Counted
from storage.access_state import Found, Question
from storage.permits import Limits

STALE_OPEN, STALE_CLOSED = "UNAVAILABLE_FAIL_OPEN", "UNAVAILABLE_FAIL_CLOSED"


class Asked(msgspec.Struct, frozen=True):
    """One question, and what the answer follows from. known: False where Redis is gone and nobody ever asked before."""

    customer: str
    wanted: str | None
    entitled: Entitled | None
    grants: Sequence[Grant]
    found: Found
    known: bool = True

    @property
    def rights(self) -> CustomerRights | None:
        return self.entitled.rights if self.entitled else None

    def decision(self) -> Decision:
        return decide(self.rights, self.grants, self.found.counted, self.found.held, self.margin)

    @property
    def margin(self) -> MarginLevel | None:
        return self.found.margin


class Caller(msgspec.Struct, frozen=True):
    """Who asks, and how: stale questions ask nobody."""

    service: EdgeService
    request: Request
    key: KeyRecord
    stale: bool
    door: str

    async def ask(self, questions: Sequence[tuple[str, str | None]]) -> list[Asked]:
        """What it takes to answer (customer, feature or unit; None: everything) each, in one round trip. Raises Problem 429."""
        return await (self._from_snapshot(questions) if self.stale else self._from_redis(questions))

    def view(self) -> TenantView | None:
        """The tenant as this process knows it, after asking."""
        return self.service.known.tenant_as_last_known(self.key.tenant_id, math.inf)

    async def _from_redis(self, questions: Sequence[tuple[str, str | None]]) -> list[Asked]:
        service, tenant_id = self.service, self.key.tenant_id
        view = await service.known.tenant(tenant_id)
        customers = [customer for customer, _ in questions]
        own = self.key.customer_id
        await service.known.rights(view, [*customers, own] if own else customers)
        limits = service.limits(self.key, view, self.door)
        now = service.stamp()
        entitled = [view.entitled(customer, now) for customer in customers]
        granted = [
            each.grants(wanted) if each else () for each, (_, wanted) in zip(entitled, questions, strict=True)
        ]
        fields = [[g.counter for g in grants if g.counter is not None] for grants in granted]
        asked = list(zip(customers, fields, strict=True))
        counted = service.nearby.permit(tenant_id, limits)
        known = None if counted is None else service.nearby.known(tenant_id, asked)
        if counted is not None and known is not None:
            tell(self.request, limits, counted)
            service.meters.from_memory += 1
        else:
            known = await self._found(limits, counted, asked)
        return [
            Asked(customer, wanted, each, grants, found)
            for (customer, wanted), each, grants, found in zip(
                questions, entitled, granted, known, strict=True
            )
        ]

    async def _found(
        self, limits: Limits, counted: Sequence[Counted] | None, asked: Sequence[Question]
    ) -> list[Found]:
        """What Redis says. counted: the request was, and is not counted again."""
        service, tenant_id = self.service, self.key.tenant_id
        began = clock()
        answers = await service.nearby.ask(tenant_id, limits if counted is None else (), asked)
        service.meters.round_trip("ask", began)
        tell(self.request, limits, counted or answers.limits, refused=answers.refused)
        return [*answers.found]

    async def _from_snapshot(self, questions: Sequence[tuple[str, str | None]]) -> list[Asked]:
        service, tenant_id = self.service, self.key.tenant_id
        view = service.known.tenant_as_last_known(tenant_id, service.settings.stale_seconds)
        now = service.stamp()
        answers = []
        for customer, wanted in questions:
            entitled = view.entitled(customer, now) if view else None
            known = view is not None and customer in view.rights
            grants = entitled.grants(wanted) if entitled else ()
            found = service.snapshot.last(tenant_id, customer)
            answers.append(Asked(customer, wanted, entitled, grants, found, known))
        return answers


async def answered(
    service: EdgeService,
    request: Request,
    doors: Sequence[str],
    limited_as: str,
    work: Callable[[Caller], Awaitable[Response]],
    *,
    gateway: bool = False,
) -> Response:
    """Authenticate and answer; from the last good snapshot where Redis is gone. doors: see `authenticate`. gateway: one at a
    known address need only name the tenant. Raises Problem."""
    trusted = gateway_key(service, request) if gateway else None
    if not service.snapshot.is_cut_off():
        try:
            with service.access_patience.wait():
                key = trusted or await authenticate(service, request, *doors)
                response = await work(Caller(service, request, key, False, limited_as))
        except HotStateMissing:
            # Redis answers, but not about this tenant: lost and not yet published anew, or a name somebody made up.
            if trusted and service.known.tenant_as_last_known(trusted.tenant_id, math.inf) is None:
                raise
        except (RedisError, OSError, TransientFailure):
            service.snapshot.lost()
        else:
            service.snapshot.found()
            return response
    key = trusted or await authenticate(service, request, *doors, stale=True)
    service.meters.stale += 1
    return await work(Caller(service, request, key, True, limited_as))
