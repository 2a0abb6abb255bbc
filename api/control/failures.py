"""How failures become answers. Put here: kinds of failure to statuses. Keep out: the failures (they live beside what raises them)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from psycopg.errors import ForeignKeyViolation, UniqueViolation
from sqlalchemy.exc import DataError, IntegrityError
from starlette.routing import BaseRoute, Route

from api.problems import FieldError, Problem
from domain.catalog.fields import CatalogRefused, FieldProblem
from domain.errors import AforoError, BadRequest, Conflict, Forbidden, NotFound, StaleEdit, TransientFailure

log = logging.getLogger(__name__)

STATUS_OF_KIND: tuple[tuple[type[AforoError], int], ...] = (
    (BadRequest, 400),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (StaleEdit, 412),
    (TransientFailure, 503),
)
"""The status of each kind of failure; any other is 422."""


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Give the app its answers to failures. routes: all there are, to say what else may be asked of an address."""

    async def wrong_method(request: Request, error: Exception) -> Response:
        allowed = ", ".join(sorted(_methods_at(request.url.path, routes)))
        detail = f"{request.method} cannot be asked of this address; {allowed} can."
        raise Problem(405, detail, headers={"Allow": allowed}) from None

    app.add_exception_handler(405, wrong_method)
    app.add_exception_handler(AforoError, _failure)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(IntegrityError, _refused_by_database)
    app.add_exception_handler(DataError, _refused_by_database)


async def _failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, AforoError)
    status = next((status for kind, status in STATUS_OF_KIND if isinstance(error, kind)), 422)
    headers = {"Retry-After": "1"} if status == 503 else None
    raise Problem(status, str(error), code=error.code, errors=_fields(error), headers=headers) from error


def _methods_at(path: str, routes: Sequence[BaseRoute]) -> set[str]:
    """Every method of an address: each has a route of its own, and the router knows the first only. A path that is meant
    literally is no id."""
    fitting = [route for route in routes if isinstance(route, Route) and route.path_regex.match(path)]
    fewest = min((len(route.param_convertors) for route in fitting), default=0)
    found = (route.methods or set() for route in fitting if len(route.param_convertors) == fewest)
    return set[str]().union(*found)


def _fields(error: AforoError) -> list[FieldError]:
    problems = error.problems if isinstance(error, CatalogRefused) else [error]
    return [
        FieldError(each.path or "body", each.what, each.code)
        for each in problems
        if isinstance(each, FieldProblem)
    ]


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [FieldError(_path(each["loc"]), each["msg"], each["type"]) for each in error.errors()]
    detail = "; ".join(f"{field.field}: {field.message}" for field in fields)
    raise Problem(422, detail, code="INVALID_FIELD", errors=fields) from None


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location[1:]:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "body"


async def _refused_by_database(request: Request, error: Exception) -> Response:
    """The last net: a rule of the database that no service turned into a failure with a name."""
    assert isinstance(error, IntegrityError | DataError)
    log.warning("refused by the database: %s %s: %s", request.method, request.url.path, error.orig)
    if isinstance(error.orig, UniqueViolation):
        raise Problem(
            409, "There is such a thing already; read it again and compare.", code="CONFLICT"
        ) from error
    if isinstance(error.orig, ForeignKeyViolation):
        detail = "It names something that does not exist, or something else stands on it."
        raise Problem(409, detail, code="CONFLICT") from error
    raise Problem(
        422, "A value is out of the range or form that can be stored.", code="UNPROCESSABLE_ENTITY"
    ) from error
