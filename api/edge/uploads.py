"""The upload routes. Put here: taking in a file, telling how far it is. Keep out: its rows, working it off.

The file goes to disk as it comes; what is held in memory does not grow with it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.edge.access import to_json, wrong
from api.edge.auth import authenticate
from api.edge.bodies import body_chunks
from api.edge.limiting import count
from api.edge.service import EdgeService
from api.edge.upload_rows import CSV, FIELDS, JSON, NDJSON
from api.edge.upload_worker import UploadWorker
from api.problems import Problem
from domain import limits
from domain.access import METER, KeyRecord
from domain.instant import iso
from storage import upload_jobs
from storage.upload_jobs import UploadJob

_FORMS = {
    ".csv": CSV, ".ndjson": NDJSON, ".jsonl": NDJSON, ".json": JSON,
    "text/csv": CSV, "application/x-ndjson": NDJSON, "application/ndjson": NDJSON, "application/json": JSON,
}  # fmt: skip
_AROUND = 64 * 1024
"""Bytes of a form besides its file."""
_SECONDS = 300.0
_DEFAULTS = {f"default{field[0].upper()}{field[1:]}": field for field in FIELDS if field != "idempotencyKey"}
_TEXT = {"type": "string"}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "format": {"type": "string", "enum": [CSV, NDJSON, JSON]},
        "columnMapping": {"type": "string", "description": "JSON: event field to column"},
        "rowCount": _TEXT,
        **dict.fromkeys(_DEFAULTS, _TEXT),
    },
}


def add_upload_routes(app: FastAPI, service: EdgeService, worker: UploadWorker) -> None:
    """POST /v1/ingest/upload, GET /v1/ingest/upload/{jobId}."""
    body = {"required": True, "content": {"multipart/form-data": {"schema": _SCHEMA}}}

    @app.post(
        "/v1/ingest/upload",
        tags=["ingest"],
        status_code=202,
        response_model=None,
        openapi_extra={"requestBody": body},
    )
    async def upload(request: Request) -> Response:
        """A file of usage. 202 with the id of the job that reads it."""
        key = await authenticate(service, request, METER)
        await count(service, request, key, limits.INGEST)
        form = await _form(request, service.settings.max_upload_bytes)
        try:
            job = await _job(service, key, form, worker.folder)
        finally:
            await form.close()
        await upload_jobs.put(service.redis, job)
        worker.call()
        answer = to_json(_shown(job))
        answer.status_code = 202
        answer.headers["Location"] = f"/v1/ingest/upload/{job.id}"
        return answer

    @app.get("/v1/ingest/upload/{jobId}", tags=["ingest"], response_model=None)
    async def progress(jobId: str, request: Request) -> Response:
        """How far a file is: QUEUED, PROCESSING, COMPLETED, PARTIAL (some rows failed) or FAILED."""
        key = await authenticate(service, request, METER)
        job = await upload_jobs.get(service.redis, key.tenant_id, jobId)
        if job is None or key.customer_id not in (None, job.customer_id):
            raise Problem(404, f"There is no upload {jobId}.", code="UPLOAD_NOT_FOUND")
        return to_json(_shown(job))


async def _form(request: Request, limit: int) -> FormData:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem(415, "Send the file as multipart/form-data, in the part `file`.", code="NOT_MULTIPART")

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in body_chunks(request, limit + _AROUND, seconds=_SECONDS):
            yield chunk
        yield b""

    try:
        return await MultiPartParser(request.headers, chunks(), max_files=1, max_fields=20).parse()  # type: ignore[arg-type]
    except MultiPartException as error:
        raise Problem(400, f"The form cannot be read: {error.message}.", code="BAD_REQUEST") from None


async def _job(service: EdgeService, key: KeyRecord, form: FormData, folder: Path) -> UploadJob:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise wrong("file", "is missing; send the file in the part `file`")
    if (file.size or 0) > service.settings.max_upload_bytes:
        limit = service.settings.max_upload_bytes
        raise Problem(413, f"file: is larger than {limit} bytes; split it.")
    said = {name: value for name, value in form.items() if isinstance(value, str) and value.strip()}
    job_id = f"upl_{secrets.token_hex(12)}"
    job = UploadJob(
        id=job_id, tenant_id=key.tenant_id, key_id=key.key_id, customer_id=key.customer_id,
        file=f"{job_id}.data", name=(file.filename or "")[:200], form=_form_of(file, said), size=file.size or 0,
        received_at=service.stamp(), mapping=_mapping(said.get("columnMapping") or said.get("mapping")),
        defaults={field: said[name] for name, field in _DEFAULTS.items() if name in said},
        expected_rows=_row_count(said.get("rowCount")),
    )  # fmt: skip
    await asyncio.to_thread(_keep, file, folder / job.file)
    return job


def _keep(file: UploadFile, target: Path) -> None:
    """Onto disk, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = target.with_suffix(".partial")
    file.file.seek(0)
    try:
        with partial.open("wb") as stream:
            shutil.copyfileobj(file.file, stream, 256 * 1024)
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _form_of(file: UploadFile, said: Mapping[str, str]) -> str:
    named = said.get("format", "").lower()
    if named:
        if named not in (CSV, NDJSON, JSON):
            raise wrong("format", f"{named!r} is not known; csv, ndjson and json are")
        return named
    ending = Path(file.filename or "").suffix.lower()
    found = _FORMS.get(ending) or _FORMS.get((file.content_type or "").partition(";")[0].strip())
    if found is None:
        raise wrong("format", f"cannot be told from the name {file.filename!r}; say csv, ndjson or json")
    return found


def _mapping(sent: str | None) -> dict[str, str]:
    if sent is None:
        return {}
    try:
        mapping = msgspec.json.decode(sent, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise wrong("columnMapping", f'is not like {{"customerId": "account"}}: {error}') from None
    strange = [name for name in mapping if name not in FIELDS]
    if strange:
        raise wrong("columnMapping", f"{strange[0]!r} cannot be mapped; {', '.join(FIELDS)} can")
    return mapping


def _row_count(sent: str | None) -> int | None:
    if sent is None:
        return None
    if not sent.strip().isdecimal():
        raise wrong("rowCount", f"{sent!r} is not a number of rows")
    return int(sent)


def _shown(job: UploadJob) -> dict[str, Any]:
    return {
        "jobId": job.id,
        "status": job.status,
        "fileName": job.name,
        "format": job.form,
        "sizeBytes": job.size,
        "expectedRows": job.expected_rows,
        "processedRows": job.rows,
        "accepted": job.accepted,
        "duplicates": job.duplicates,
        "failed": job.failed,
        "errors": job.errors,
        "error": job.error,
        "createdAt": iso(job.received_at),
        "startedAt": None if job.started_at is None else iso(job.started_at),
        "completedAt": None if job.ended_at is None else iso(job.ended_at),
    }
