"""RFC 7807 problems. Put here: the `Problem` both doors raise, how it reads on the wire. Keep out: frameworks.

`api.envelope` turns a raised `Problem` into a response; this file knows only the body.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

MEDIA_TYPE = "application/problem+json"

TITLES: Mapping[int, tuple[str, str]] = {
    400: ("bad-request", "Bad Request"),
    401: ("unauthorized", "Unauthorized"),
    402: ("payment-required", "Payment Required"),
    403: ("forbidden", "Forbidden"),
    404: ("not-found", "Not Found"),
    405: ("method-not-allowed", "Method Not Allowed"),
    409: ("conflict", "Conflict"),
    412: ("precondition-failed", "Precondition Failed"),
    413: ("payload-too-large", "Payload Too Large"),
    415: ("unsupported-media-type", "Unsupported Media Type"),
    422: ("unprocessable-entity", "Unprocessable Entity"),
    429: ("rate-limited", "Too Many Requests"),
    500: ("internal-server-error", "Internal Server Error"),
    503: ("service-unavailable", "Service Unavailable"),
}
"""Status to default slug and title."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong: its path as sent, what is wrong with it, and the machine code."""

    field: str
    message: str
    code: str | None = None


class Problem(Exception):
    """An answer other than success. Raise it anywhere below a door.

    status: HTTP status. detail: for people: which field, which value, what would be right. code: for machines.
    slug: names the page of the error (default: by code or status). errors: field errors, sent as `errors[]` and
    `fieldErrors{}`. headers: added to the response. extra: further members of the body.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        slug: str | None = None,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.slug = slug
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def problem_body(problem: Problem, instance: str, base: str | None = None) -> dict[str, Any]:
    """The body of a problem. instance: the request's path. base: see `errors_base`."""
    default_slug, title = TITLES.get(problem.status, ("error", "Error"))
    slug = problem.slug or (problem.code.lower().replace("_", "-") if problem.code else default_slug)
    body: dict[str, Any] = {
        "type": f"{errors_base() if base is None else base}/errors/{slug}",
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
    }
    if problem.code:
        body["code"] = problem.code
    if problem.errors or problem.status == 422:
        body["errors"] = [
            {"field": error.field, "message": error.message} | ({"code": error.code} if error.code else {})
            for error in problem.errors
        ]
        body["fieldErrors"] = {error.field: error.message for error in problem.errors}
    return body | problem.extra


def encode_problem(problem: Problem, instance: str, base: str | None = None) -> bytes:
    """The body as JSON bytes."""
    return msgspec.json.encode(problem_body(problem, instance, base))


def errors_base() -> str:
    """Where the error pages live (AFORO_ERRORS_BASE); empty: `type` is relative to the host that answered."""
    return os.environ.get("AFORO_ERRORS_BASE", "").rstrip("/")
