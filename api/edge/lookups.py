"""Where an event is and why. Put here: the route, and joining what the door knows with what the reader of the lake says. Keep out:
searching the log (storage.log_lookup), the lake (behind the management door, which may load what reads it).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from redis.exceptions import RedisError

from api.edge.access import to_json, wrong
from api.edge.auth import authenticate
from api.edge.limiting import count
from api.edge.service import EdgeService
from api.exact_json import decode
from api.problems import Problem
from domain import limits
from domain.access import METER, KeyRecord
from domain.errors import TransientFailure
from domain.instant import iso, to_micros_since_epoch
from domain.quantity import plain
from domain.usage import LONGEST_TEXT
from storage.log_lookup import InLog, Waiting, look_up
from storage.secret_files import reader_token

COUNTED, ON_ITS_WAY, QUARANTINED = "COUNTED", "ON_ITS_WAY", "QUARANTINED"
_AT_ONCE = 4
_ENOUGH_SECONDS = 0.7
_READ, _NOT_READ = "READ", "NOT_READ"
_HIDDEN = ("acts",)
_ON_ITS_WAY = "The event is accepted and in the log, on disk; it is in the lake within about a minute."
_REFUSED = "The event was refused for the reason in received[].detail; it is kept among the dead letters."


class NotReadable(TransientFailure):
    """Where an event is cannot be told now; it may be anywhere."""

    code = "LAKE_UNAVAILABLE"


class Reader:
    """The process that can read the lake, on loopback. Without an address, or where it does not answer, nothing is known of it."""

    def __init__(self, url: str, home: str, *, seconds: float = 5.0) -> None:
        self._address = urlsplit(url)
        self._home = home
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(
            _AT_ONCE, "reader"
        )  # its own: a reader that hangs holds nobody else up

    async def story(self, tenant_id: str, key: str) -> dict[str, Any] | None:
        """What the lake and the invoices say of the event. None: it cannot be asked at the moment. Empty: it knows no such event."""
        if not self._address.hostname:
            return None
        asked = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, tenant_id, key)
        try:
            async with asyncio.timeout(self._seconds):
                status, content = await asked
        except (OSError, HTTPException):  # a timeout is an OSError
            return None
        if status == 404 and b"EVENT_NOT_FOUND" in content:
            return {}
        told = decode(content) if status == 200 else None
        return told if isinstance(told, dict) else None

    def _ask(self, tenant_id: str, key: str) -> tuple[int, bytes]:
        host, port = self._address.hostname or "", self._address.port
        headers = {"Authorization": f"Bearer {_token(self._home)}", "X-Tenant-Id": tenant_id}
        connection = HTTPConnection(host, port, timeout=self._seconds)
        try:
            connection.request("GET", f"/internal/v1/events/{quote(key, safe='')}", headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


@cache
def _token(home: str) -> str:
    return reader_token(Path(home))


def add_lookup_routes(app: FastAPI, service: EdgeService) -> None:
    """GET /v1/events/{key}."""
    reader = Reader(service.settings.reader_url, service.settings.home)
    service.closing.append(reader.close)

    @app.get("/v1/events/{key:path}", tags=["events"], response_model=None)
    async def where(key: str, request: Request) -> Response:
        """Where the event with this idempotency key is and why: accepted and on its way, counted and in which invoice line, or
        quarantined with the reason. Keys may hold slashes, percent-encoded or not."""
        caller = await authenticate(service, request, METER)
        if not key or len(key) > LONGEST_TEXT:
            raise wrong("key", f"has {len(key)} characters; 1 to {LONGEST_TEXT} are allowed")
        await count(service, request, caller, limits.LOOKUP)
        return to_json(await _where(service, reader, caller, key))


async def _where(service: EdgeService, reader: Reader, caller: KeyRecord, key: str) -> dict[str, Any]:
    asked = asyncio.ensure_future(reader.story(caller.tenant_id, key))
    try:
        in_log = await _in_log(service, caller.tenant_id, key)
        # What the log has is not in the lake yet, or for a moment: no need to wait for one that is slow.
        is_known = in_log is not None and bool(in_log.waiting)
        await asyncio.wait([asked], timeout=_ENOUGH_SECONDS if is_known else None)
        told = asked.result() if asked.done() else None
    finally:
        asked.cancel()
    if in_log is None and told is None:
        raise NotReadable("Neither the log nor the lake can be read at the moment; try again.")
    body = _joined(key, in_log or InLog(False, (), False), told)
    if body is None:
        if told is None:
            raise NotReadable(
                "The door does not know this key, and the lake cannot be read at the moment; try again."
            )
        raise _not_found(key)
    return body if caller.customer_id is None else _own(body, caller, key)


async def _in_log(service: EdgeService, tenant_id: str, key: str) -> InLog | None:
    try:
        return await look_up(service.redis, tenant_id, key)
    except (RedisError, OSError):
        return None


def _joined(key: str, in_log: InLog, told: dict[str, Any] | None) -> dict[str, Any] | None:
    """One answer of what both say; None: neither knows the key. What is in both was drained a moment ago: the lake's counts."""
    body = dict(told or {"key": key, "state": ON_ITS_WAY, "received": [], "acts": [], "billed": []})
    lake = [row | {"where": "LAKE", "quantity": _neat(row["quantity"])} for row in body["received"]]
    known = {(to_micros_since_epoch(row["receivedAt"]), row["outcome"]) for row in lake}
    fresh = [_shown(each) for each in in_log.waiting if (each.received_at, each.outcome) not in known]
    if not (lake or fresh or in_log.seen):
        return None
    if not lake:
        accepted = in_log.seen or any(row["outcome"] == "ACCEPTED" for row in fresh)
        body["state"] = ON_ITS_WAY if accepted else QUARANTINED
    if body["state"] in (ON_ITS_WAY, QUARANTINED):
        body["message"] = _ON_ITS_WAY if body["state"] == ON_ITS_WAY else _REFUSED
    body["received"] = [*lake, *fresh]
    body["lake"] = _NOT_READ if told is None else _READ
    return body


def _shown(found: Waiting) -> dict[str, Any]:
    record = found.record
    return {
        "rawSeq": None,
        "outcome": found.outcome,
        "detail": record.d,
        "receivedAt": iso(found.received_at),
        "source": found.source,
        "keyId": found.key_id,
        "customerId": record.c,
        "unit": record.u,
        "quantity": record.q,
        "occurredAt": None if record.t is None else iso(record.t),
        "payload": record.j,
        "where": "LOG",
    }


def _neat(quantity: str | None) -> str | None:
    return None if quantity is None else plain(Decimal(quantity))


def _own(body: dict[str, Any], caller: KeyRecord, key: str) -> dict[str, Any]:
    """What a customer's own key may see: its customer's events and what came with itself, and not who in the tenant's house did
    what about them."""
    own = (caller.customer_id, caller.key_id)
    rows = [row for row in body["received"] if row["customerId"] == own[0] or row["keyId"] == own[1]]
    if not rows:
        raise _not_found(key)
    return {name: value for name, value in body.items() if name not in _HIDDEN} | {"received": rows}


def _not_found(key: str) -> Problem:
    return Problem(404, f"There is no event with the idempotency key {key[:80]!r}.", code="EVENT_NOT_FOUND")
