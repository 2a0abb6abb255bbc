"""The edge's OpenAPI document. Put here: what all doors share: keys, problems, the answer of ingest. Keep out: single doors (they describe
their own requests)."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import MEDIA_TYPE, TITLES

_REFUSALS = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503)
_MORE_TITLES = {408: "Request Timeout"}
_OPEN = ("/internal/v1/auth/token-check",)
"""What asks says what it asks about in the address, and shows no key."""
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        **dict.fromkeys(("type", "title", "detail", "instance", "code"), _TEXT),
        "status": {"type": "integer"},
        "errors": {"type": "array", "items": {"type": "object"}},
        "fieldErrors": {"type": "object"},
    },
}
_RECEIPT = {
    "type": "object",
    "required": ["accepted", "duplicates", "failed", "errors"],
    "properties": {
        **dict.fromkeys(("accepted", "duplicates", "failed"), _COUNT),
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "error", "code"],
                "properties": {"index": _COUNT, "error": _TEXT, "code": _TEXT},
            },
        },
        "killedSessionIds": {"type": "array", "items": _TEXT},
        "spooled": {"type": "boolean", "description": "on the edge's own disk; the log follows"},
    },
}


def install(app: FastAPI) -> None:
    """Give the app its document, made when it is first asked for."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = document.setdefault("components", {})
    components["schemas"] = {"Problem": _PROBLEM, "Receipt": _RECEIPT}
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    return document


def _complete(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in (*_REFUSALS, *_MORE_TITLES):
        title = _MORE_TITLES.get(status) or TITLES[status][1]
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        responses[str(status)] = {"description": title, "content": content}
    tags = operation.get("tags", [])
    if "health" not in tags and path not in _OPEN:
        operation["security"] = [{"key": []}]
    if "ingest" in tags and "202" in responses:
        answer = {"schema": {"$ref": "#/components/schemas/Receipt"}}
        responses["202"]["content"] = {"application/json": answer}
