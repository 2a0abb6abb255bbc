"""Uploaded files waiting to be read, in Redis. Put here: the record of a job, claiming one. Keep out: the files, their rows.

upload:{tenant}:<job>        UploadJob; goes a month after it ended
uploads-pending              `<tenant>|<job>` of those that have not ended
upload-claim:{tenant}:<job>  who works on it; goes if whoever it is does not renew it
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from redis.asyncio import Redis

QUEUED, PROCESSING, COMPLETED, PARTIAL, FAILED = "QUEUED", "PROCESSING", "COMPLETED", "PARTIAL", "FAILED"
_PENDING = "uploads-pending"
_KEEP_SECONDS = 30 * 86_400


class RowError(msgspec.Struct):
    """What was wrong with a row; rows count from 1, a header is none."""

    row: int
    error: str
    code: str


class UploadJob(msgspec.Struct):
    """A file and how far it was read. received_at, started_at, ended_at: epoch microseconds. rows: read so far. mapping: event
    field -> column. defaults: event field -> value where a row has none. error: why it could not be read to its end."""

    id: str
    tenant_id: str
    key_id: str
    customer_id: str | None
    file: str
    name: str
    form: str
    size: int
    received_at: int
    mapping: dict[str, str]
    defaults: dict[str, str]
    expected_rows: int | None = None
    status: str = QUEUED
    started_at: int | None = None
    ended_at: int | None = None
    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    failed: int = 0
    errors: list[RowError] = []
    error: str | None = None


_decode = msgspec.json.Decoder(UploadJob).decode


async def put(redis: Redis, job: UploadJob) -> None:
    """Write a job's record; it is pending until it has ended."""
    name, listed = _key(job.tenant_id, job.id), f"{job.tenant_id}|{job.id}"
    if job.ended_at is None:
        await redis.set(name, msgspec.json.encode(job))
        await cast(Any, redis.sadd(_PENDING, listed))
    else:
        await redis.set(name, msgspec.json.encode(job), ex=_KEEP_SECONDS)
        await cast(Any, redis.srem(_PENDING, listed))


async def get(redis: Redis, tenant_id: str, job_id: str) -> UploadJob | None:
    """The tenant's job of this id."""
    found = await redis.get(_key(tenant_id, job_id))
    return None if found is None else _decode(cast(bytes, found))


async def pending(redis: Redis) -> list[tuple[str, str]]:
    """(tenant, job) of all that have not ended."""
    found = await cast(Any, redis.smembers(_PENDING))
    return [(tenant, job) for tenant, _, job in (member.decode().rpartition("|") for member in sorted(found))]


async def claim(redis: Redis, tenant_id: str, job_id: str, who: str, seconds: float) -> bool:
    """Take or keep a job for so many seconds; whether it is ours."""
    name, millis = f"upload-claim:{{{tenant_id}}}:{job_id}", int(seconds * 1000)
    if await redis.set(name, who, nx=True, px=millis):
        return True
    if await redis.get(name) != who.encode():
        return False
    await redis.pexpire(name, millis)
    return True


async def give_up(redis: Redis, tenant_id: str, job_id: str, who: str) -> None:
    """Somebody else may take it now."""
    name = f"upload-claim:{{{tenant_id}}}:{job_id}"
    if await redis.get(name) == who.encode():
        await redis.delete(name)


def _key(tenant_id: str, job_id: str) -> str:
    return f"upload:{{{tenant_id}}}:{job_id}"
