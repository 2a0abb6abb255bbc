"""The frame of every management route. Put here: admission, transactions, answers, repeats. Keep out: nouns and their rules.

`Door` makes the dependencies by which a route says which area it reads or changes; the `Call` a route then gets runs the work
in one transaction of the right tenant and shapes the answer.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Header, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine

from api.control.answers import Told, success
from api.control.operator import Caller, Operators
from api.control.paging import page_query, shown_page
from api.control.roles import Area
from api.control.routing import managed_router
from api.problems import Problem
from domain.actor import Actor
from domain.errors import StaleEdit
from storage.database import session_scope
from storage.repositories.idempotency import Answers, Kept, forget_old
from storage.repositories.paging import Page, PageQuery
from storage.sealed import Seal
from storage.tenancy import Tx, installation_tx, tenant_tx

__all__ = ["Area", "Call", "Door", "Page", "PageQuery", "Told", "managed_router"]

T = TypeVar("T")
FORGET_EVERY = timedelta(minutes=10)
JSON = "application/json"
_REPEATED = "Idempotency-Replayed"

# Only for the OpenAPI document; Operators reads the header itself, to answer with problems of ours.
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="operatorKey",
    description="An operator key (`afo_…`), or the installation's operator token.",
)
TenantHeader = Annotated[
    str | None, Header(description="Which tenant; may be left out with an operator key, which has its own.")
]
MatchHeader = Annotated[
    str | None,
    Header(
        description="The ETag the edit is based on; 412 if the thing was changed since.", examples=['"3"']
    ),
]
RepeatHeader = Annotated[
    str | None,
    Header(
        description="Any unique text. The same request with the same key within 24 hours gets the first answer again.",
        max_length=255,
    ),
]


class Door:
    """One per application: what all calls stand on."""

    def __init__(
        self, engine: Engine, home: Path, redis_url: str | None = None, lake_url: str | None = None
    ) -> None:
        self.engine = engine
        self.home = home
        self.redis_url = redis_url
        self.lake_url = lake_url or str(home / "lake")
        self.operators = Operators(engine, home)
        self._forgotten_at = datetime.now(UTC)
        self._forgetting = threading.Lock()

    @cached_property
    def seal(self) -> Seal:
        """Seals secrets at rest."""
        return Seal.of(self.home)

    def read(self, area: Area) -> Any:
        """A dependency: a Call of someone who may read the area."""

        async def call(
            request: Request,
            _token: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
            x_tenant_id: TenantHeader = None,
        ) -> Call:
            return Call(self, request, await self.operators.admit(request.headers, area, change=False))

        call.right = (area.value, False)  # type: ignore[attr-defined]  # read by the route, for the API reference
        return call

    def write(self, area: Area) -> Any:
        """A dependency: a Call of someone who may change the area."""

        async def call(
            request: Request,
            _token: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
            x_tenant_id: TenantHeader = None,
            if_match: MatchHeader = None,
            idempotency_key: RepeatHeader = None,
        ) -> Call:
            caller = await self.operators.admit(request.headers, area, change=True)
            return Call(self, request, caller, changes_access=area in (Area.SETTINGS, Area.TENANTS))

        call.right = (area.value, True)  # type: ignore[attr-defined]
        return call

    def forget_old_answers(self, now: datetime) -> None:
        """Every now and then remove answers nobody may ask for again."""
        with self._forgetting:
            if now - self._forgotten_at < FORGET_EVERY:
                return
            self._forgotten_at = now
        with session_scope(self.engine) as session:
            forget_old(session, now)


class Call:
    """One request of an admitted caller. tenant_id is empty in calls about tenants themselves."""

    def __init__(self, door: Door, request: Request, caller: Caller, *, changes_access: bool = False) -> None:
        self.door = door
        self._changes_access = changes_access
        self.request = request
        self.tenant_id = caller.tenant_id
        address = request.client.host if request.client else None
        request_id = getattr(request.state, "request_id", None)
        self.actor: Actor = replace(caller.actor, ip=address, request_id=request_id)
        self.if_match: str | None = request.headers.get("if-match")

    def expect(self, what: str, revision: int) -> None:
        """Raises StaleEdit if the caller's edit is based on another revision. what: names the thing, for people."""
        if self.if_match is None or self.if_match.strip() == "*":
            return
        current = f'"{revision}"'
        if current not in [tag.strip().removeprefix("W/") for tag in self.if_match.split(",")]:
            raise StaleEdit(what, self.if_match, current)

    def read(self, work: Callable[[Tx], Any], *, envelope: bool = True) -> Response:
        """What `work` found, with an ETag where it has a revision. envelope False: for the routes answered bare."""
        with self._transaction() as tx:
            found = work(tx)
        return _answer(found, 200, envelope=envelope)

    def look(self, work: Callable[[Tx], T]) -> T:
        """What `work` found, as it is: for answers that are no JSON."""
        with self._transaction() as tx:
            return work(tx)

    def listing(
        self, work: Callable[[Tx, PageQuery], Any], shown: Callable[[Any], Any] | None = None
    ) -> Response:
        """A page of a list. work: finds it; with `shown`, which makes an item of a row, it finds rows, how many there are in all, and
        the next page's cursor, as `keyset` does."""
        query = page_query(self.request.query_params)
        with self._transaction() as tx:
            page = work(tx, query)
            if shown is not None:
                rows, total, following = page
                page = Page([shown(row) for row in rows], total, following)
        return _json(shown_page(page, query), 200)

    def write(self, work: Callable[[Tx], Any], *, status: int = 200, envelope: bool = True) -> Response:
        """What `work` did, in one transaction; nothing to show (None) is 204. A POST with an Idempotency-Key is done once: the
        same request again gets the same answer, and one at the same time waits for it."""
        key = self._repeat_key()
        if key is None:
            with self._transaction() as tx:
                done = work(tx)
            return _answer(done, status, envelope=envelope)
        with self._transaction() as tx:
            answers = Answers(tx.session, self.tenant_id, self.door.seal)
            kept = answers.claim(key, self._fingerprint(), tx.at)
            if kept is not None:
                return Response(kept.body, kept.status, {**kept.headers, _REPEATED: "true"})
            answer = _answer(work(tx), status, envelope=envelope)
            answers.keep(key, Kept(answer.status_code, _kept_headers(answer), bytes(answer.body).decode()))
        self.door.forget_old_answers(tx.at)
        return answer

    @contextmanager
    def _transaction(self) -> Iterator[Tx]:
        engine = self.door.engine
        with (
            tenant_tx(engine, self.tenant_id, self.actor)
            if self.tenant_id
            else installation_tx(engine, self.actor) as tx
        ):
            yield tx
        if self._changes_access:
            self.door.operators.forget()

    def _repeat_key(self) -> str | None:
        key = self.request.headers.get("idempotency-key")
        if key is None or self.request.method != "POST":
            return None
        if not key.strip() or len(key) > 255 or not key.isprintable():
            raise Problem(400, "Idempotency-Key: must have 1 to 255 visible characters", code="BAD_REQUEST")
        return key.strip()

    def _fingerprint(self) -> str:
        """What the request is; the caller belongs to it, lest one be shown what was answered to another."""
        url = self.request.url
        body = getattr(self.request.state, "body", b"")
        parts = [self.actor.id, self.request.method, url.path, url.query, hashlib.sha256(body).hexdigest()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _answer(found: Any, status: int, *, envelope: bool) -> Response:
    told = found if isinstance(found, Told) else Told(found)
    if told.data is None and not told.meta:
        return Response(status_code=204)
    response = _json(success(told.data, told.meta) if envelope else told.data, told.status or status)
    if isinstance(told.data, dict) and "revision" in told.data:
        response.headers["ETag"] = f'"{told.data["revision"]}"'
    return response


def _json(body: Any, status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)


def _kept_headers(answer: Response) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name in ("content-type", "etag", "location")
    }
