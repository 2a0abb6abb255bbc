"""Pages for people: the API reference and what each error means. Put here: HTML, made here and complete in itself, so that it
works offline. Keep out: what the pages say (the OpenAPI document, the errors' own words)."""

from __future__ import annotations

import inspect
import json
from collections import defaultdict
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse

from api.control.failures import STATUS_OF_KIND
from api.control.openapi import operations
from api.problems import TITLES, Problem
from domain.errors import AforoError

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2530; }
h2 { margin-top: 3rem; border-bottom: 1px solid #ccd3da; } summary { cursor: pointer; padding: .35rem 0; }
code, pre { font: 14px/1.45 ui-monospace, monospace; } pre { background: #f3f5f7; padding: .8rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #e3e7eb; }
b.m { display: inline-block; width: 4.5rem; } details > div { margin: 0 0 1.5rem 1.2rem; } nav a { margin-right: 1rem; }
@media (prefers-color-scheme: dark) { body { background: #14191f; color: #dfe6ec; } pre { background: #1f262e; } a { color: #8ab8ff; } }
"""

_OF_THE_EDGE = {
    "UNKNOWN_METRIC": (
        422,
        "The event names a billable unit this tenant does not have. It is kept and can be replayed.",
    ),
    "IDEMPOTENCY_CONFLICT": (
        409,
        "The event's key was used for an event with other content; the first one stands.",
    ),
    "SCHEMA_INVALID": (422, "The event lacks a field or has one of the wrong kind."),
    "MISSING_CUSTOMER": (422, "The event does not say whose usage it is, nor does the key."),
    "CUSTOMER_MISMATCH": (403, "The key belongs to another customer than the one the event names."),
    "NEGATIVE_QUANTITY": (422, "Only units that allow corrections take negative quantities."),
    "FUTURE_TIMESTAMP": (422, "The usage lies more than 5 minutes in the future."),
    "TOO_OLD": (422, "The usage lies more than 90 days in the past."),
    "RATE_LIMITED": (
        429,
        "More requests than the key may make; go on after the number of seconds in Retry-After.",
    ),
    "TOO_MANY_STREAMS": (429, "So many live streams are open on this edge, or of this tenant; close one."),
    "LAKE_UNAVAILABLE": (
        503,
        "Where the event is cannot be told now: the lake does not answer, and it may be there.",
    ),
    "LOG_NOT_WRITABLE": (
        503,
        "Redis answers but takes no writes: it is full, a replica, or cannot write to its disk.",
    ),
    "DRAINING": (503, "This edge was told to end; ask another one."),
    "MAC_MISMATCH": (
        422,
        "The event is not in the log as a door wrote it, or its key is not known; it is quarantined.",
    ),
    "MAC_MISSING": (422, "The event carries no MAC, and none may pass without; it is quarantined."),
    "TENANT_NOT_FOUND": (404, "X-Tenant-Id names no tenant."),
    "CONFLICT": (409, "What is asked for is well-formed, but not possible as things stand."),
    "UNAUTHORIZED": (
        401,
        "No key was sent, or one that does not exist, has expired, was revoked, or is for the other door.",
    ),
    "BAD_REQUEST": (400, "The request cannot be understood."),
    "UNPROCESSABLE_ENTITY": (422, "The request is understood, but a rule stands against it."),
}
"""Codes that no error class carries."""


def page_routes(app: FastAPI) -> APIRouter:
    """GET /docs and /errors/{slug}."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs", response_class=HTMLResponse)
    def reference() -> str:
        """The API reference."""
        return _reference(app.openapi())

    @router.get("/errors", response_class=HTMLResponse)
    def all_errors() -> str:
        """Every kind of problem."""
        rows = "".join(
            f'<li><a href="/errors/{slug}">{slug}</a> ({status})</li>'
            for slug, (status, _, _) in known().items()
        )
        return _page("Errors", f"<h1>Errors</h1><ul>{rows}</ul>")

    @router.get("/errors/{slug}", response_class=HTMLResponse)
    def one_error(slug: str) -> str:
        """What one kind of problem means."""
        if slug not in known():
            raise Problem(404, f"{slug[:80]!r} is no kind of problem; all are at /errors", code="NOT_FOUND")
        status, title, meaning = known()[slug]
        return _page(
            slug,
            f"<h1>{slug}</h1><p>Status {status}, {escape(title)}.</p><p>{escape(meaning)}</p><p><a href='/errors'>All errors</a></p>",
        )

    return router


def known() -> dict[str, tuple[int, str, str]]:
    """Slug to (status, title, meaning) of every problem this installation may answer with."""
    found = {slug: (status, title, f"{title}.") for status, (slug, title) in TITLES.items()}
    found["not-found"] = (
        404,
        "Not Found",
        "There is no such thing, or it is another tenant's: nobody is told which.",
    )
    for error in _all_errors(AforoError):
        status = next((status for kind, status in STATUS_OF_KIND if issubclass(error, kind)), 422)
        meaning = " ".join((inspect.getdoc(error) or "").split("\n\n")[0].split())
        found[_slug(error.code)] = (status, TITLES[status][1], meaning)
    for code, (status, meaning) in _OF_THE_EDGE.items():
        found[_slug(code)] = (status, TITLES[status][1], meaning)
    return dict(sorted(found.items()))


def _all_errors(base: type[AforoError]) -> Iterator[type[AforoError]]:
    for error in base.__subclasses__():
        yield error
        yield from _all_errors(error)


def _slug(code: str) -> str:
    return code.lower().replace("_", "-")


def _reference(document: dict[str, Any]) -> str:
    groups: dict[str, list[str]] = defaultdict(list)
    for path, method, operation in operations(document):
        groups[(operation.get("tags") or ["other"])[0]].append(_operation(path, method, operation))
    links = "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in groups)
    parts = "".join(
        f'<h2 id="{escape(tag)}">{escape(tag)}</h2>{"".join(shown)}' for tag, shown in groups.items()
    )
    head = (
        f"<h1>{escape(document['info']['title'])}</h1><p>{escape(document['info'].get('description', ''))} "
    )
    more = 'The same for machines: <a href="/v3/api-docs">/v3/api-docs</a>. <a href="/errors">Errors</a>.</p>'
    return _page("API reference", f"{head}{more}<nav>{links}</nav>{parts}")


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    head = (
        f'<b class="m">{method.upper()}</b><code>{escape(path)}</code> {escape(operation.get("summary", ""))}'
    )
    rows = "".join(_parameter(each) for each in operation.get("parameters", ()))
    table = f"<table>{rows}</table>" if rows else ""
    bodies = "".join(
        f"<p>{escape(kind)}</p><pre>{escape(json.dumps(content.get('example'), indent=2, ensure_ascii=False))}</pre>"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    answers = ", ".join(sorted(operation["responses"]))
    about = escape(operation.get("description", ""))
    return f"<details><summary>{head}</summary><div><p>{about}</p>{table}{bodies}<p>Answers: {answers}</p></div></details>"


def _parameter(each: dict[str, Any]) -> str:
    needed = " (required)" if each.get("required") else ""
    said = escape(str(each.get("description", "")))
    return (
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}{needed}</td><td>{said}</td></tr>"
    )


def _page(title: str, content: str) -> str:
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style><body>{content}</body></html>'
