"""Webhooks in Redis: the sources the edge knows, and the calls it received. Put here: their keys and forms. Keep out: signatures,
what a call means.

    webhook-source:<id>          tenant -> SourceRecord; not tagged: a call names no tenant, and whose signature fits is whose it is
    webhook-sources:{tenant}     ids of the tenant's sources
    webhook-calls:{tenant}:<id>  stream of the latest calls of a source with their bodies; those turned away have one of their own
                                 (`webhook-refused:`), so that nobody can crowd out the good ones
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from domain.webhook_source import WebhookSource

MOST_CALLS = 1_000
MOST_REFUSED = 100
_KEEP_MS = 30 * 86_400_000


class SourceRecord(msgspec.Struct, frozen=True):
    """A source as the edge knows it. secret: sealed for the column of `webhook_sources`."""

    id: str
    tenant_id: str
    secret: str
    source: WebhookSource


class Call(msgspec.Struct):
    """A call as received. verdict: ACCEPTED, DUPLICATE, FILTERED, FAILED, MALFORMED, BAD_SIGNATURE or TOO_OLD. url: as it was
    called. headers: by lower-case name, those that matter. body: as received, packed. received_at: epoch microseconds."""

    source_id: str
    verdict: str
    detail: str
    received_at: int
    url: str
    headers: dict[str, str]
    body: bytes
    replay_of: str | None = None


_decode_source = msgspec.json.Decoder(SourceRecord).decode
_decode_call = msgspec.msgpack.Decoder(Call).decode


def source_key(source_id: str) -> str:
    return f"webhook-source:{source_id}"


def publish_sources(redis: Redis, tenant_id: str, sources: Mapping[str, SourceRecord | None]) -> None:
    """These sources of a tenant as they are now; None: gone."""
    listed = f"webhook-sources:{{{tenant_id}}}"
    for source_id, record in sources.items():
        if record is None:
            redis.hdel(source_key(source_id), tenant_id)
            redis.srem(listed, source_id)
        else:
            redis.hset(source_key(source_id), tenant_id, msgspec.json.encode(record))
            redis.sadd(listed, source_id)


async def find_sources(redis: AsyncRedis, source_id: str) -> list[SourceRecord]:
    """The sources of this id: as a rule one, for two tenants may give the same name."""
    found = await cast(Any, redis.hgetall(source_key(source_id)))
    return [_decode_source(record) for _, record in sorted(found.items())]


async def keep_call(redis: AsyncRedis, tenant_id: str, call: Call, *, is_refused: bool) -> str:
    """Note a call; the oldest beyond the latest thousand, and what is older than a month, go. is_refused: it is not its
    source's; of such the latest hundred stay. Returns its id."""
    name = _calls_key(tenant_id, call.source_id, is_refused)
    most = MOST_REFUSED if is_refused else MOST_CALLS
    packed = msgspec.structs.replace(call, body=zlib.compress(call.body, 1))
    pipeline = redis.pipeline(transaction=False)
    pipeline.xadd(name, {"c": msgspec.msgpack.encode(packed)}, maxlen=most, approximate=False)
    pipeline.pexpire(name, _KEEP_MS)
    call_id, _ = await pipeline.execute()
    return cast(bytes, call_id).decode()


async def calls(redis: AsyncRedis, tenant_id: str, source_id: str, most: int) -> list[tuple[str, Call]]:
    """The latest calls of a source, the newest first, turned away or not."""
    pipeline = redis.pipeline(transaction=False)
    for is_refused in (False, True):
        pipeline.xrevrange(_calls_key(tenant_id, source_id, is_refused), count=most)
    found = [
        (call_id.decode(), _read(fields)) for part in await pipeline.execute() for call_id, fields in part
    ]
    return sorted(found, key=lambda each: each[1].received_at, reverse=True)[:most]


async def call(redis: AsyncRedis, tenant_id: str, source_id: str, call_id: str) -> Call | None:
    """One call, None if it is not there (any more)."""
    pipeline = redis.pipeline(transaction=False)
    for is_refused in (False, True):
        pipeline.xrange(_calls_key(tenant_id, source_id, is_refused), call_id, call_id)
    found = [fields for part in await pipeline.execute() for _, fields in part]
    return _read(found[0]) if found else None


def _calls_key(tenant_id: str, source_id: str, is_refused: bool) -> str:
    return f"webhook-{'refused' if is_refused else 'calls'}:{{{tenant_id}}}:{source_id}"


def _read(fields: dict[bytes, bytes]) -> Call:
    packed = _decode_call(fields[b"c"])
    return msgspec.structs.replace(packed, body=zlib.decompress(packed.body))
