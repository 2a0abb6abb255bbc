"""Working off uploaded files, in the background of the edge. Put here: which job is next, its progress, its end. Keep out: the
rows (upload_rows.py), the routes, the record (storage.upload_jobs).

A job survives the process: its record is in Redis, its file in the data folder. Whoever takes it up skips the rows that are
recorded as done; those of the chunk under way when the other died are sent again, and the log knows their keys.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from redis.exceptions import RedisError

from api.edge.intake import take_in
from api.edge.service import EdgeService
from api.edge.upload_rows import Events, Unreadable, read_rows
from domain.access import KeyRecord
from domain.errors import TransientFailure
from storage import upload_jobs
from storage.upload_jobs import COMPLETED, FAILED, PARTIAL, PROCESSING, RowError, UploadJob

log = logging.getLogger(__name__)
_CHUNK = 500
_MOST_ERRORS = 100
_POLL_SECONDS = 2.0
_BREATH = 0.002
"""Between chunks: whoever calls the edge meanwhile goes first."""


class UploadWorker:
    """One task of an edge process. claim_seconds: how long a job whose worker died stays untouched."""

    def __init__(self, service: EdgeService, *, claim_seconds: float = 15.0) -> None:
        self._service = service
        self._claim_seconds = claim_seconds
        self._who = secrets.token_hex(8)
        self._called = asyncio.Event()

    @property
    def folder(self) -> Path:
        """Where uploaded files lie."""
        return Path(self._service.settings.home) / "uploads"

    def call(self) -> None:
        """There is a new job."""
        self._called.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                for tenant_id, job_id in await upload_jobs.pending(self._service.redis):
                    await self._try(tenant_id, job_id)
            except (RedisError, OSError, TransientFailure) as error:
                log.warning("uploads wait: %s", error)
            except Exception:
                log.exception("an upload could not be worked off")
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._called.wait()
            self._called.clear()

    async def _try(self, tenant_id: str, job_id: str) -> None:
        """Work off a job unless somebody else does, or its file is on another machine."""
        redis = self._service.redis
        job = await upload_jobs.get(redis, tenant_id, job_id)
        if job is None or job.ended_at is not None or not (self.folder / job.file).is_file():
            return
        if not await upload_jobs.claim(redis, tenant_id, job_id, self._who, self._claim_seconds):
            return
        job = await upload_jobs.get(redis, tenant_id, job_id)
        try:
            if job is not None and job.ended_at is None:
                await self._work(job)
        finally:
            with suppress(RedisError, OSError):
                await upload_jobs.give_up(redis, tenant_id, job_id, self._who)

    async def _work(self, job: UploadJob) -> None:
        redis, file = self._service.redis, self.folder / job.file
        job.status, job.started_at = PROCESSING, job.started_at or self._service.stamp()
        await upload_jobs.put(redis, job)
        events = Events(file.with_suffix(f".{self._who}.seen"), job.mapping, job.defaults)
        try:
            texts = (events.text(row) for row in read_rows(file, job.form))
            await asyncio.to_thread(_skip, texts, job.rows)  # their keys are needed for those that follow
            while job.error is None:
                chunk, job.error = await asyncio.to_thread(_next, texts)
                if not chunk:
                    break
                await self._send(job, chunk)
                await upload_jobs.put(redis, job)
                if not await upload_jobs.claim(redis, job.tenant_id, job.id, self._who, self._claim_seconds):
                    return
                await asyncio.sleep(_BREATH)
        except Unreadable as error:
            job.error = str(error)
        finally:
            events.close()
        done = job.accepted + job.duplicates
        is_whole = job.failed == 0 and job.error is None
        job.status = COMPLETED if is_whole else PARTIAL if done else FAILED
        job.ended_at = self._service.stamp()
        await upload_jobs.put(redis, job)
        file.unlink(missing_ok=True)

    async def _send(self, job: UploadJob, chunk: list[str]) -> None:
        key = KeyRecord(job.key_id, job.tenant_id, job.customer_id)
        outcome = await take_in(self._service, key, f"upload:{job.id}", chunk, received_at=job.received_at)
        for index, refusals in outcome.failures:
            if len(job.errors) < _MOST_ERRORS:
                first = refusals[0]
                job.errors.append(RowError(job.rows + index + 1, first.detail, first.code))
        job.accepted += outcome.accepted
        job.duplicates += outcome.duplicates
        job.failed += len(outcome.failures)
        job.rows += len(chunk)


def _next(texts: Iterator[str]) -> tuple[list[str], str | None]:
    """Some more events, and why there cannot be any after them."""
    chunk: list[str] = []
    try:
        chunk.extend(itertools.islice(texts, _CHUNK))  # keeps those before an error
    except Unreadable as error:
        return chunk, str(error)
    return chunk, None


def _skip(texts: Iterator[str], rows: int) -> None:
    for _ in itertools.islice(texts, rows):
        pass
