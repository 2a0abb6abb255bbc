"""The OpenAPI document. Put here: what all operations share (problems, envelope, examples). Keep out: any one noun's fields.

FastAPI derives the document from the routes; this adds what routes need not repeat: the problems every operation may answer
with, the envelope around answers, and an example of every body.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.control.roles import Area, those_who_may
from api.control.shapes.table import Shape, shape_of
from api.problems import MEDIA_TYPE, TITLES

JSON = "application/json"
COMMON = (400, 401, 403, 404, 429, 503)
"""What any managed operation may answer with."""
OF_METHOD = {
    "get": (422,),
    "post": (409, 413, 422),
    "put": (409, 413, 422),
    "patch": (409, 413, 422),
    "delete": (409, 422),
}
METHODS = ("get", "post", "put", "patch", "delete")

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 7807.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "description": "The page of this kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what would be right, for people."},
        "instance": {"type": "string", "description": "The path of the request."},
        "code": {"type": "string", "description": "For machines; does not change."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {name: {"type": "string"} for name in ("field", "message", "code")},
            },
        },
        "fieldErrors": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}

ENVELOPE: dict[str, Any] = {
    "type": "object",
    "required": ["success", "data", "meta"],
    "properties": {"success": {"const": True}, "data": {}, "meta": {"type": "object"}},
}

PAGE: dict[str, Any] = {
    "type": "object",
    "required": ["success", "data", "meta"],
    "properties": {
        "success": {"const": True},
        "data": {"type": "array", "items": {"type": "object"}},
        "meta": {
            "type": "object",
            "required": ["size", "totalElements", "totalPages"],
            "properties": {
                name: {"type": "integer"} for name in ("page", "size", "totalElements", "totalPages")
            }
            | {"nextCursor": {"type": "string"}},
        },
    },
}


def install(app: FastAPI) -> None:
    """Let the app describe itself, once it is asked to."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation) of a document."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _document(app: FastAPI) -> dict[str, Any]:
    about = "Catalog, prices, customers, subscriptions, keys, invoices and bill runs of a tenant."
    document = get_openapi(title=app.title, version=app.version, description=about, routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(Problem=PROBLEM, Envelope=ENVELOPE, Page=PAGE)
    _add_shapes(document, schemas)
    components["responses"] = {str(status): _problem(status) for status in TITLES}
    for path, method, operation in operations(document):
        _describe(path, method, operation, schemas)
    return document


def _problem(status: int) -> dict[str, Any]:
    slug, title = TITLES[status]
    example: dict[str, Any] = {"type": f"/errors/{slug}", "title": title, "status": status}
    example |= {
        "detail": "Which field or thing, what is wrong with it, what would be right.",
        "instance": "/api/v1/…",
    }
    if status == 422:
        one = {"field": "name", "message": "is missing; write some text", "code": "INVALID_FIELD"}
        example |= {"code": "INVALID_FIELD", "errors": [one], "fieldErrors": {"name": one["message"]}}
    if status == 429:
        example |= {"code": "RATE_LIMITED", "retryAfter": 12}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
    return {"description": title, "content": content}


def _describe(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    operation["summary"] = (
        (operation.get("description") or operation["summary"]).split("\n")[0].split(". ")[0].rstrip(".")
    )
    body = operation.get("requestBody", {}).get("content", {})
    for kind in body.values():
        if "example" not in kind and "examples" not in kind:
            kind["example"] = example_of(kind.get("schema", {}), schemas)
    right = operation.pop("x-right", None)
    if right is None:
        operation.pop("x-if-match", None)
        if operation.get("parameters"):
            operation["responses"].setdefault("400", {"$ref": "#/components/responses/400"})
        return
    operation["x-right"] = right
    operation["description"] = f"{operation.get('description', '')}\n\n{_who_may(right)}".strip()
    compares = operation.pop("x-if-match", False) or method in ("put", "patch", "delete")
    operation["parameters"] = [
        each for each in operation.get("parameters", ()) if _belongs(each, method, compares)
    ]
    pages = any(each["name"] == "cursor" for each in operation["parameters"])
    for status, response in operation["responses"].items():
        if status.startswith("2") and status != "204":
            _envelop(response, shape_of(method, path), schemas, pages=pages)
    for status in (*COMMON, *OF_METHOD[method], *((412,) if compares else ())):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{status}"}
    if method != "get" and "204" not in operation["responses"]:
        operation["responses"]["204"] = {"description": "Done; there is nothing to show."}


def _who_may(right: dict[str, Any]) -> str:
    roles = those_who_may(Area(right["area"]), change=right["change"])
    return f"For {', '.join(roles)}." if roles else "For the installation's operator token."


def _belongs(parameter: dict[str, Any], method: str, compares: bool) -> bool:
    """Every change takes the same headers in code; only these mean something for a method."""
    name = parameter["name"].lower() if parameter["in"] == "header" else ""
    return not (name == "idempotency-key" and method != "post") and not (name == "if-match" and not compares)


def _add_shapes(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Put the schemas of all answers among the components."""
    shapes: dict[Shape, None] = {}
    for path, method, _ in operations(document):
        if found := shape_of(method, path):
            shapes[found[0]] = None
    asked = [(shape, "validation") for shape in shapes]
    _, made = models_json_schema(asked, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    twice = made["$defs"].keys() & schemas.keys()
    assert not twice, f"an answer and a body share the names {twice}"
    schemas.update(made["$defs"])


def _envelop(
    response: dict[str, Any], shape: tuple[Shape, bool] | None, schemas: dict[str, Any], *, pages: bool
) -> None:
    """What the answer has around it, and in it."""
    content = response.setdefault("content", {}).setdefault(JSON, {})
    around = "Page" if pages else "Envelope"
    if content.get("schema"):
        return
    content["schema"] = {"$ref": f"#/components/schemas/{around}"}
    data: Any = {"id": "…"}
    if shape is not None:
        one = {"$ref": f"#/components/schemas/{shape[0].__name__}"}
        is_list = pages or shape[1]
        inner = {"type": "array", "items": one} if is_list else one
        content["schema"] = {"allOf": [content["schema"], {"properties": {"data": inner}}]}
        data = [example_of(one, schemas)] if is_list else example_of(one, schemas)
    meta = {"page": 0, "size": 50, "totalElements": 1, "totalPages": 1} if pages else {}
    content.setdefault("example", {"success": True, "data": data, "meta": meta})


def example_of(schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0) -> Any:
    """A value the schema describes, from the examples given in it."""
    if "$ref" in schema:
        return example_of(schemas.get(schema["$ref"].rsplit("/", 1)[-1], {}), schemas, depth)
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    for name in ("example", "const", "default"):
        if schema.get(name) is not None:
            return schema[name]
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return example_of(schema[name][0], schemas, depth)
    if "properties" in schema and depth < 4:
        needed = set(schema.get("required", ()))
        parts = {
            name: part for name, part in schema["properties"].items() if name in needed or _has_example(part)
        }
        return {name: example_of(part, schemas, depth + 1) for name, part in parts.items()}
    if schema.get("type") == "array":
        return [example_of(schema.get("items", {}), schemas, depth + 1)] if depth < 4 else []
    return {"string": "text", "integer": 1, "number": 1, "boolean": True, "object": {}}.get(
        schema.get("type", "")
    )


def _has_example(schema: dict[str, Any]) -> bool:
    return bool(schema.get("examples") or schema.get("example"))
