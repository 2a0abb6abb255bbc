"""Webhooks. Put here: receiving a call, keeping it with its verdict, sending it through again. Keep out: signatures
(signatures.py), what a call says (webhook_events.py)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response

from api.edge.access import to_json
from api.edge.auth import authenticate, require_whole_tenant
from api.edge.bodies import read_body
from api.edge.intake import take_in
from api.edge.limiting import count
from api.edge.service import EdgeService
from api.edge.signatures import HEADERS, BadSignature, Signed, verify
from api.edge.webhook_events import Made, Malformed, challenge, documents, events
from api.problems import Problem
from domain import limits
from domain.access import METER, KeyRecord
from domain.instant import SECOND, iso
from domain.webhook_source import REPLAY_SECONDS, WebhookSource
from storage import webhook_calls
from storage.sealed import Seal
from storage.webhook_calls import Call, SourceRecord

_SECRET_COLUMN = "webhook_sources.secret"
_BODY_LIMIT = 256 * 1024
_SHOWN = 100
_SCHEMA = {"description": "What the provider sends."}
ACCEPTED, DUPLICATE, FILTERED, FAILED = "ACCEPTED", "DUPLICATE", "FILTERED", "FAILED"
MALFORMED, BAD_SIGNATURE, TOO_OLD = "MALFORMED", "BAD_SIGNATURE", "TOO_OLD"


def add_webhook_routes(app: FastAPI, service: EdgeService) -> None:
    """POST /v1/ingest/webhook/{sourceId}, and its calls: list them, show one, send one through again."""
    path = "/v1/ingest/webhook/{sourceId}"
    body = {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}

    @app.post(
        path, tags=["webhooks"], status_code=202, response_model=None, openapi_extra={"requestBody": body}
    )
    async def receive(sourceId: str, request: Request) -> Response:
        """A call of a provider. It carries no API key: its signature says whose it is."""
        sent = await read_body(request, _BODY_LIMIT, service.body_patience)
        sources = await webhook_calls.find_sources(service.redis, sourceId)
        if not sources:
            raise _unknown(sourceId)
        names = {*HEADERS, *(each.source.signature_header.lower() for each in sources)}
        headers = {name: value for name in names if (value := request.headers.get(name)) is not None}
        call = Call(sourceId, "", "", service.stamp(), str(request.url), headers, sent)
        return await _receive(service, request, sources, call)

    @app.get(f"{path}/calls", tags=["webhooks"], response_model=None)
    async def listing(sourceId: str, request: Request) -> Response:
        """The latest calls of a source, the newest first, with what became of them."""
        key = await _owner(service, request)
        found = await webhook_calls.calls(service.redis, key.tenant_id, sourceId, _SHOWN)
        return to_json({"calls": [_shown(call_id, call) for call_id, call in found]})

    @app.get(f"{path}/calls/{{callId}}", tags=["webhooks"], response_model=None)
    async def one(sourceId: str, callId: str, request: Request) -> Response:
        """One call with its body as it came."""
        key = await _owner(service, request)
        call = await _kept(service, key, sourceId, callId)
        return to_json(_shown(callId, call) | {"url": call.url, "body": call.body.decode("utf-8", "replace")})

    @app.post(f"{path}/calls/{{callId}}/replay", tags=["webhooks"], status_code=202, response_model=None)
    async def replay(sourceId: str, callId: str, request: Request) -> Response:
        """Send a kept call through again, as after its source was corrected. Its signature must fit the secret of now; what was
        counted before is not counted again."""
        key = await _owner(service, request)
        call = await _kept(service, key, sourceId, callId)
        sources = await webhook_calls.find_sources(service.redis, sourceId)
        mine = [each for each in sources if each.tenant_id == key.tenant_id]
        if not mine:
            raise _unknown(sourceId)
        again = Call(sourceId, "", "", call.received_at, call.url, call.headers, call.body, replay_of=callId)
        return await _receive(service, request, mine, again)


async def _receive(
    service: EdgeService, request: Request, sources: list[SourceRecord], call: Call
) -> Response:
    try:
        record, signed_at = _signer(service, sources, call)
    except BadSignature as error:
        # Whose it is, is not known; the source's owner may want to see why calls are turned away.
        await count(service, request, _key_of(sources[0]), limits.REFUSED)
        await _keep(service, sources[0].tenant_id, call, BAD_SIGNATURE, str(error))
        raise Problem(
            401, f"This call is not signed as its source signs: {error}.", code=BAD_SIGNATURE
        ) from None
    await count(service, request, _key_of(record), limits.INGEST)
    source = record.source
    try:
        found = documents(source, call.headers, call.body)
        answer = challenge(source, found) if found else None
        if answer is not None:
            return to_json({"challenge": answer})
        made = events(record.id, source, call.headers, found)
    except Malformed as error:
        await _keep(service, record.tenant_id, call, MALFORMED, str(error))
        raise Problem(400, f"The call is signed, but {error}.", code=MALFORMED) from None
    if call.replay_of is None and _is_old(source, call, signed_at, made):
        await _keep(
            service, record.tenant_id, call, TOO_OLD, f"signed more than {REPLAY_SECONDS} s ago or ahead"
        )
        detail = f"This call was signed more than {REPLAY_SECONDS} seconds from now; it may be a replay."
        raise Problem(401, detail, code="WEBHOOK_TOO_OLD")
    return await _meter(service, record, call, made)


async def _meter(service: EdgeService, record: SourceRecord, call: Call, made: Made) -> Response:
    outcome = await take_in(
        service, _key_of(record), f"webhook:{record.id}", made.texts, received_at=call.received_at
    )
    verdict = (
        FAILED if outcome.failures
        else ACCEPTED if outcome.accepted
        else DUPLICATE if outcome.duplicates
        else FILTERED
    )  # fmt: skip
    detail = outcome.failures[0][1][0].detail if outcome.failures else ""
    call_id = await _keep(service, record.tenant_id, call, verdict, detail)
    body = outcome.body() | {"filtered": made.filtered, "verdict": verdict, "callId": call_id}
    answer = to_json(body)
    answer.status_code = 202
    return answer


def _signer(service: EdgeService, sources: list[SourceRecord], call: Call) -> tuple[SourceRecord, int | None]:
    """The source whose secret the call is signed with, and when it was. Raises BadSignature."""
    path = call.url.partition("://")[2].partition("/")[2]
    public = service.settings.public_url
    urls = [f"{public.rstrip('/')}/{path}", call.url] if public else [call.url]
    failure = BadSignature("the source is unknown")
    for record in sources:
        secret = _seal(service.settings.home).open(
            record.secret, tenant_id=record.tenant_id, column=_SECRET_COLUMN
        )
        try:
            return record, verify(record.source, secret, Signed(call.headers, call.body, urls))
        except BadSignature as error:
            failure = error
    raise failure


@lru_cache(maxsize=4)
def _seal(home: str) -> Seal:
    return Seal.of(Path(home))


def _is_old(source: WebhookSource, call: Call, signed_at: int | None, made: Made) -> bool:
    """By the signature's own time; where a generic one has none, by the latest event's, if the source says where that stands."""
    now = call.received_at // SECOND
    moment = signed_at if source.provider != "GENERIC" else max(made.moments, default=None)
    return moment is not None and abs(now - moment) > REPLAY_SECONDS


async def _keep(service: EdgeService, tenant_id: str, call: Call, verdict: str, detail: str) -> str:
    call.verdict, call.detail = verdict, detail
    is_refused = verdict in (BAD_SIGNATURE, TOO_OLD)
    return await webhook_calls.keep_call(service.redis, tenant_id, call, is_refused=is_refused)


async def _owner(service: EdgeService, request: Request) -> KeyRecord:
    """Calls hold what every customer of the tenant did, so a customer's own key does not do."""
    return require_whole_tenant(await authenticate(service, request, METER))


async def _kept(service: EdgeService, key: KeyRecord, source_id: str, call_id: str) -> Call:
    millis, _, number = call_id.partition("-")
    found = None
    if millis.isdecimal() and number.isdecimal() and len(call_id) < 40:
        found = await webhook_calls.call(service.redis, key.tenant_id, source_id, call_id)
    if found is None:
        raise Problem(404, f"There is no call {call_id} of the source {source_id}.", code="CALL_NOT_FOUND")
    return found


def _key_of(record: SourceRecord) -> KeyRecord:
    """A source meters like a key of its tenant."""
    return KeyRecord(record.id, record.tenant_id, None)


def _unknown(source_id: str) -> Problem:
    return Problem(404, f"There is no webhook source {source_id}.", code="WEBHOOK_SOURCE_NOT_FOUND")


def _shown(call_id: str, call: Call) -> dict[str, Any]:
    return {
        "callId": call_id,
        "verdict": call.verdict,
        "detail": call.detail,
        "receivedAt": iso(call.received_at),
        "replayOf": call.replay_of,
        "sizeBytes": len(call.body),
    }
