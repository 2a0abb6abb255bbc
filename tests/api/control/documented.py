"""Holds answers against the OpenAPI document. Put here: finding the operation of an answer, comparing. Keep out: sending requests.

Stricter than the document is with clients: an answer may have no field that is not documented, so that the document stays whole.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import httpx
import jsonschema_rs
from fastapi import FastAPI

from api.control.openapi import operations

SHARED = {"Envelope", "Page", "Problem"}
PARAMETER = re.compile(r"\{[^}]+\}")


class Document:
    """What an app says of itself."""

    def __init__(self, app: FastAPI) -> None:
        self._document = copy.deepcopy(app.openapi())
        for name, schema in self._document["components"]["schemas"].items():
            if "properties" in schema and "additionalProperties" not in schema and name not in SHARED:
                schema["additionalProperties"] = False
        self._operations = [
            (
                re.compile(PARAMETER.sub("[^/]+", re.escape(path).replace(r"\{", "{").replace(r"\}", "}"))),
                *rest,
            )
            for path, *rest in sorted(operations(self._document), key=lambda each: each[0].count("{"))
        ]
        self._validators: dict[int, Any] = {}

    def complaint(self, method: str, path: str, answer: httpx.Response) -> str | None:
        """What is not as documented about the answer, if anything."""
        operation = next(
            (each for at, verb, each in self._operations if verb == method.lower() and at.fullmatch(path)),
            None,
        )
        if operation is None:
            return None
        documented = operation["responses"].get(str(answer.status_code))
        if documented is None:
            return f"status {answer.status_code} is not documented"
        if "$ref" in documented:
            documented = self._document["components"]["responses"][documented["$ref"].rsplit("/", 1)[1]]
        kind = answer.headers.get("content-type", "").split(";")[0]
        content = documented.get("content", {})
        if kind not in content:
            return None if not kind and not content else f"content type {kind!r} is not documented"
        return self._mistake(content[kind].get("schema", {}), answer.json())

    def _mistake(self, schema: dict[str, Any], body: Any) -> str | None:
        if id(schema) not in self._validators:
            whole = {"components": self._document["components"], "allOf": [schema]}
            self._validators[id(schema)] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        first = next(self._validators[id(schema)].iter_errors(body), None)
        return None if first is None else f"{'.'.join(map(str, first.instance_path))}: {first.message}"
