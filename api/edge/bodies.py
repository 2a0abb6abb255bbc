"""Reading request bodies. Put here: size limits, and JSON that keeps each event's own text. Keep out: the gates."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Request

from api.exact_json import HALF_A_CHARACTER, decode, split_array
from api.problems import FieldError, Problem


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_batch = msgspec.json.Decoder(_Batch)


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises Problem 413 as soon as it is known to be larger than `limit` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


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
        raise Problem(413, f"events: {len(texts)} events are too many; at most {limit} fit into one request.")
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
    return [bytes(event).decode() for event in batch.events]


def decode_object(body: bytes) -> dict[str, Any]:
    """A request body that must be a JSON object. Raises Problem 400."""
    try:
        decoded = decode(body)
    except (ValueError, RecursionError) as error:
        raise not_json(error) from None
    if not isinstance(decoded, dict):
        raise Problem(400, "The body is not a JSON object.", code="BAD_REQUEST")
    return decoded


def not_json(error: Exception) -> Problem:
    return Problem(400, f"The body is not valid JSON: {error}.", code="BAD_REQUEST")


def _not_a_batch(message: str) -> Problem:
    if "$.events" not in message:
        return Problem(400, "The body is not a JSON object.", code="BAD_REQUEST")
    wrong = FieldError("events", 'is not a list; send {"events": [ … ]}', "SCHEMA_INVALID")
    return Problem(422, "events: is not a list of events.", code="SCHEMA_INVALID", errors=[wrong])


def _too_large(limit: int) -> Problem:
    # The rest of the body is not read, so the connection cannot be used again.
    return Problem(
        413,
        f"The body is larger than {limit} bytes; send fewer events at once.",
        headers={"Connection": "close"},
    )
