"""Bodies of requests and answers. Put here: limits of size and time, JSON that keeps each event's own text, JSON as it goes out.
Keep out: the gates."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from api.edge.heads import header
from api.edge.protocol import Answering
from api.exact_json import HALF_A_CHARACTER, decode, split_array
from api.patience import Patience
from api.problems import FieldError, Problem

_DISCARDED = 64 * 1024 * 1024
"""So much of a body that is too large is read and thrown away: an answer in the middle of it would reach nobody."""
_GZIP = 31
_INFLATED_HERE = 64 * 1024
_CLOSE = {"Connection": "close"}


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_batch = msgspec.json.Decoder(_Batch)


class Json(Response):
    """An answer of JSON as it stands: without what a Response looks at for each kind of content."""

    media_type = "application/json"

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]


async def read_body(request: Request, limit: int, patience: Patience) -> bytes:
    """The whole body, inflated if it is compressed.

    Raises Problem 413 for more than `limit` bytes, before or after inflating; 408 where it takes longer than it may; 415 for
    an encoding other than gzip; 400 for what is no gzip.
    """
    body = _at_once(request)
    if body is None:
        body = await _waited_for(request, limit, patience)
    elif len(body) > limit:
        raise _too_large(limit)
    encoding = header(request, b"content-encoding")
    return body if encoding is None else await _decoded(body, encoding.strip().lower(), limit)


async def body_chunks(request: Request, limit: int, *, seconds: float) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Problem 413 at its end if it is larger than `limit`, 408 where it takes too long."""
    size = 0
    until = time.monotonic() + seconds
    while True:
        try:
            async with asyncio.timeout(until - time.monotonic()):
                message = await request.receive()
        except TimeoutError:
            raise _too_slow(seconds) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            yield chunk
        elif size > limit + _DISCARDED:
            raise _too_large(limit, is_read=False)
        if not message.get("more_body", False):
            break
    if size > limit:
        raise _too_large(limit)


def _at_once(request: Request) -> bytes | None:
    """The body where the server has all of it already, as is usual with small ones; None: it has to be waited for."""
    server = getattr(request.receive, "__self__", None)
    return server.whole_body() if isinstance(server, Answering) else None


async def _waited_for(request: Request, limit: int, patience: Patience) -> bytes:
    declared = header(request, b"content-length") or ""
    if declared.isdigit() and int(declared) > limit and header(request, b"expect") is not None:
        raise _too_large(limit, is_read=False)  # the client waits for leave to send
    try:
        with patience.wait():
            return await _received(request, limit)
    except TimeoutError:
        raise _too_slow(patience.seconds) from None


async def _received(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
            if size > _DISCARDED:
                raise _too_large(limit, is_read=False)
        if not message.get("more_body", False):
            break
    if size > limit:
        raise _too_large(limit)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _decoded(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise Problem(
            415, f"Content-Encoding: {encoding!r} is not understood; send gzip, or plain JSON.",
            code="UNSUPPORTED_ENCODING",
        )  # fmt: skip
    if len(body) < _INFLATED_HERE:
        return inflate(body, limit)
    return await asyncio.to_thread(inflate, body, limit)


def inflate(body: bytes, limit: int) -> bytes:
    """What gzip packed. Never holds more than `limit` bytes of it: a small body may unpack to gigabytes. Raises Problem."""
    found, size = [], 0
    try:
        while body:
            stream = zlib.decompressobj(_GZIP)
            found.append(stream.decompress(body, limit + 1 - size))
            size += len(found[-1])
            if size > limit:
                raise _too_large(limit)
            if not stream.eof:
                raise zlib.error("it ends too early")
            body = stream.unused_data
    except zlib.error as error:
        raise Problem(400, f"The body is not gzip: {error}.", code="BAD_REQUEST") from None
    return b"".join(found)


def batch_texts(body: bytes, limit: int) -> list[str] | None:
    """The events of `{"events": […]}`, each as its own text; None: the body has no `events`.

    Raises Problem 400 for what is no JSON object, 422 where `events` is no list, 413 for more than `limit` events.
    """
    try:
        text = body.decode()
        texts = _split(body, text)
    except msgspec.ValidationError as error:
        raise _not_a_batch(str(error)) from None
    except TypeError:
        raise _not_a_batch("$.events") from None
    except (ValueError, RecursionError) as error:
        raise not_json(error) from None
    if texts is not None and len(texts) > limit:
        raise too_many(len(texts), limit)
    return texts


def _split(body: bytes, text: str) -> list[str] | None:
    try:
        batch = _batch.decode(body)
    except msgspec.DecodeError:
        if HALF_A_CHARACTER.search(body):
            return split_array(text, "events")
        raise
    if isinstance(batch.events, msgspec.UnsetType):
        return None
    return [str(event, "utf-8") for event in batch.events]


def decode_object(body: bytes) -> dict[str, Any]:
    """A request body that must be a JSON object. Raises Problem 400."""
    decoded = decode_json(body)
    if not isinstance(decoded, dict):
        raise Problem(400, "The body is not a JSON object.", code="BAD_REQUEST")
    return decoded


def decode_json(body: bytes) -> Any:
    """Any JSON, with exact numbers. Raises Problem 400."""
    try:
        return decode(body)
    except (ValueError, RecursionError) as error:
        raise not_json(error) from None


def not_json(error: Exception) -> Problem:
    return Problem(400, f"The body is not valid JSON: {error}.", code="BAD_REQUEST")


def too_many(found: int, limit: int) -> Problem:
    return Problem(413, f"events: {found} events are too many; at most {limit} fit into one request.")


def _not_a_batch(message: str) -> Problem:
    if "$.events" not in message:
        return Problem(400, "The body is not a JSON object.", code="BAD_REQUEST")
    wrong = FieldError("events", 'is not a list; send {"events": [ … ]}', "SCHEMA_INVALID")
    return Problem(422, "events: is not a list of events.", code="SCHEMA_INVALID", errors=[wrong])


def _too_slow(seconds: float) -> Problem:
    return Problem(408, f"The body did not arrive within {seconds:g} seconds.", headers=_CLOSE)


def _too_large(limit: int, *, is_read: bool = True) -> Problem:
    """is_read: nothing of the body is left on the connection, so that it can be used again."""
    detail = f"The body is larger than {limit} bytes; send fewer events at once."
    return Problem(413, detail, headers={} if is_read else _CLOSE)
