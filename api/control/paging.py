"""Pages at the management door. Put here: reading which page is asked for, showing it. Keep out: fetching it (storage)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.control.answers import success
from domain.catalog.fields import FieldProblem
from storage.repositories.paging import Page, PageQuery

LARGEST, USUAL = 500, 50
LAST_PAGE = 1_000_000

PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "page",
        "in": "query",
        "description": "Number of the page, from 0. For long lists follow `meta.nextCursor` instead.",
        "schema": {"type": "integer", "minimum": 0, "maximum": LAST_PAGE, "default": 0},
    },
    {
        "name": "size",
        "in": "query",
        "description": "Rows of a page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST, "default": USUAL},
    },
    {
        "name": "cursor",
        "in": "query",
        "description": "`meta.nextCursor` of the page before; good for the same filters and order.",
        "schema": {"type": "string"},
    },
    {
        "name": "sort",
        "in": "query",
        "description": "A field to sort by; `,desc` after it for the other direction.",
        "schema": {"type": "string"},
        "example": "name,desc",
    },
]
"""The parameters of every list, as OpenAPI describes them."""


def page_query(sent: Mapping[str, str]) -> PageQuery:
    """Which page the query parameters ask for. Raises FieldProblem."""
    page = _whole(sent, "page", 0, LAST_PAGE, 0)
    size = _whole(sent, "size", 1, LARGEST, USUAL)
    return PageQuery(page, size, sent.get("cursor") or None, sent.get("sort") or None)


def shown_page(page: Page, query: PageQuery) -> dict[str, Any]:
    """The page as an answer: the items in `data`, where it stands in `meta`."""
    meta: dict[str, Any] = {} if query.cursor else {"page": query.page}
    meta |= {"size": query.size, "totalElements": page.total, "totalPages": -(-page.total // query.size)}
    if page.next_cursor:
        meta["nextCursor"] = page.next_cursor
    return success(list(page.items), meta)


def _whole(sent: Mapping[str, str], name: str, least: int, most: int, default: int) -> int:
    text = sent.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise FieldProblem(name, f"{text[:80]!r} is not a whole number from {least} to {most}")
    return int(text)
