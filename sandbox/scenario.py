"""A scenario as written. Put here: reading the file, with the path of every complaint. Keep out: playing it (play.py), what a step's
own fields mean (the services say)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.catalog.catalog import Catalog, read_catalog
from domain.catalog.fields import CatalogRefused, FieldProblem, Fields, shown
from domain.errors import PermanentFailure
from domain.instant import NotAnInstant, micros, to_micros_since_epoch
from domain.usage import TIME_NAMES
from sandbox.generated import Generated, read_generated
from sandbox.reading import instant, moment, one_of
from sandbox.reading import month as read_month
from sandbox.receiving import Written
from sandbox.steps import KINDS
from sandbox.steps_of_bills import usual_time
from storage.catalog_file import load_document

SEND, WAIT = "send", "wait"
_BESIDE = ("at", "tenant", "fails", "note", "expect")
Events = tuple[Written | tuple[Generated, str], ...]


class BadScenario(PermanentFailure):
    """The file is no scenario: nothing was played, or not to its end."""

    code = "BAD_SCENARIO"
    exit_code = 2

    def __init__(self, source: str, problems: list[FieldProblem]) -> None:
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Step:
    """One dated step. body: its own fields as written. fails: the code of the error it must end with; None: none."""

    path: str
    at: datetime
    kind: str
    body: dict[str, Any]
    tenant: str | None = None
    fails: str | None = None
    note: str | None = None
    expect: dict[str, Any] | None = None
    events: Events = ()


@dataclass(frozen=True)
class Scenario:
    """A small world and what happens in it. catalogs: as written and as read, a tenant each. batch: events the gates take at once."""

    name: str
    source: str
    start: datetime
    catalogs: tuple[tuple[dict[str, Any], Catalog], ...]
    events: Events
    steps: tuple[Step, ...]
    expect: dict[str, Any] | None
    batch: int | None


def load(file: Path) -> Scenario:
    """A scenario file. Raises UnreadableCatalog where it is no YAML, BadScenario."""
    return read(load_document(file), str(file))


def read(document: object, source: str = "scenario") -> Scenario:
    """A scenario as decoded YAML. source: what complaints call it. Raises BadScenario."""
    try:
        return _read(Fields(document, ""), source)
    except FieldProblem as problem:
        raise BadScenario(source, [problem]) from None
    except CatalogRefused as refused:
        found = [type(each)(f"catalog.{each.path}", each.what) for each in refused.problems]
        raise BadScenario(source, found) from None


def _read(fields: Fields, source: str) -> Scenario:
    name = fields.text("name")
    catalogs = tuple((written, read_catalog(written)) for written in _catalogs(fields))
    tenants = [catalog.tenant.id for _, catalog in catalogs]
    start = instant(fields, "start") or _first_day([catalog for _, catalog in catalogs])
    events = _events(fields.items("events"), tenants, None)
    steps = _steps(fields, tenants, start)
    expect = _maybe_mapping(fields, "expect")
    batch = fields.whole("batch", 1, 10_000_000)
    fields.raw("about")
    fields.done()
    return Scenario(name, source, start, catalogs, events, steps, expect, batch)


def _catalogs(fields: Fields) -> list[dict[str, Any]]:
    name, value = fields.raw("catalog")
    given: list[Any] = value if isinstance(value, list) else [value]
    for each in given:
        if not isinstance(each, dict):
            was = "is missing" if each is None else f"{shown(each)} is not an object"
            raise FieldProblem(
                name, f"{was}; write what `aforo apply` reads, or a list of such for several tenants"
            )
    return given  # fmt: skip


def _first_day(catalogs: list[Catalog]) -> datetime:
    """The first instant anything is agreed for, in the first of the customers' time zones."""
    starts = [
        subscription.starts_at(catalog.customers[subscription.customer].time_zone)
        for catalog in catalogs
        for subscription in catalog.subscriptions.values()
        if subscription.customer in catalog.customers
    ]
    if not starts:
        raise FieldProblem(
            "start", "is missing, and no subscription says when the world begins; write an instant"
        )
    return min(starts)  # fmt: skip


def _steps(fields: Fields, tenants: list[str], start: datetime) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = start
    for path, item in fields.items("steps"):
        step = _step(item, path, tenants, at)
        if step.at < at:
            what = f"{step.at.isoformat()} is before {at.isoformat()}, when the step before happens; put steps in order"
            raise FieldProblem(f"{path}.at", what)
        steps.append(step)
        at = step.at
    return tuple(steps)


def _step(item: object, path: str, tenants: list[str], before: datetime) -> Step:
    kind = _kind(item, path)
    fields = Fields(item, path)
    _, value = fields.raw(kind)
    at = instant(fields, "at")
    events: Events = ()
    if kind == SEND:
        items = [
            (f"{path}.{SEND}[{place}]", item) for place, item in enumerate(_list(value, f"{path}.{SEND}"))
        ]
        events = _events(items, tenants, at or before)
    body = {} if kind in (SEND, WAIT) else _body(kind, value, f"{path}.{kind}")
    if at is None:
        at = usual_time(read_month(body["month"], f"{path}.bill.month")) if kind == "bill" else before
    tenant = fields.maybe_text("tenant")
    if tenant is not None:
        one_of(tenants, tenant, f"{path}.tenant", "tenant of the catalog")
    step = Step(
        path, at, kind, body, tenant, fields.maybe_text("fails"), fields.maybe_text("note"), _maybe_mapping(fields, "expect"), events
    )  # fmt: skip
    fields.done()
    return step


def _kind(item: object, path: str) -> str:
    """What the step is, by its one word that is not `at` and the like."""
    words = (*KINDS, SEND, WAIT)
    said = [str(word) for word in item if word not in _BESIDE] if isinstance(item, dict) else []
    for word in said:
        one_of(words, word, path, "kind of step")
    if len(said) != 1:
        was = f"says {' and '.join(said)}" if said else "says nothing"
        raise FieldProblem(path, f"{was}; a step is one of {', '.join(sorted(words))}")
    return said[0]


def _body(kind: str, value: object, path: str) -> dict[str, Any]:
    about = KINDS[kind]
    if isinstance(value, str) and about.short is not None:
        return {about.short: value}
    if not isinstance(value, dict):
        right = f"; write {about.example!r}"
        raise FieldProblem(path, f"{shown(value)} is not an object{right}")
    for name in about.needs:
        if value.get(name) is None:
            raise FieldProblem(f"{path}.{name}", f"is missing; write something like {about.example!r}")
    if about.body is None:
        for name in value:
            one_of(about.fields, name, f"{path}.{name}", f"field of {kind}")
    return dict(value)


def _events(items: list[tuple[str, object]], tenants: list[str], at: datetime | None) -> Events:
    return tuple(_event(item, path, tenants, at) for path, item in items)


def _event(item: object, path: str, tenants: list[str], at: datetime | None) -> Any:
    fields = Fields(item, path)
    if fields.has("generate"):
        _, asked = fields.raw("generate")
        made = read_generated(Fields(asked, f"{path}.generate"), path.replace(".", "-"))
        fields.done()
        return made, _tenant(made.tenant, tenants, path)
    assert isinstance(item, dict)
    sent = dict(item)
    tenant = _tenant(sent.pop("tenant", None), tenants, path)
    backfill, given = sent.pop("backfill", None), sent.pop("receivedAt", None)
    if given is not None:
        received = micros(moment(given, f"{path}.receivedAt"))
    elif at is not None:
        received = micros(at)
    else:
        received = _said_time(sent, path)
    return Written(tenant, sent, received, path, backfill)


def _said_time(sent: dict[str, Any], path: str) -> int:
    """Received when it says it happened, where nothing else is said."""
    said = next((sent[name] for name in TIME_NAMES if sent.get(name) is not None), None)
    try:
        return to_micros_since_epoch(said)
    except NotAnInstant:
        raise FieldProblem(
            f"{path}.receivedAt", "is missing, and the event's own time cannot be read"
        ) from None


def _tenant(named: object, tenants: list[str], path: str) -> str:
    if named is None and len(tenants) == 1:
        return tenants[0]
    if named is None:
        raise FieldProblem(f"{path}.tenant", f"is missing; the catalog has {', '.join(tenants)}")
    return one_of(tenants, str(named), f"{path}.tenant", "tenant of the catalog")


def _maybe_mapping(fields: Fields, name: str) -> dict[str, Any] | None:
    name, value = fields.raw(name)
    if value is not None and not isinstance(value, dict):
        raise FieldProblem(fields.at(name), f"{shown(value)} is not an object; write fields and values")
    return value


def _list(value: object, path: str) -> list[object]:
    if not isinstance(value, list):
        raise FieldProblem(path, f"{shown(value)} is not a list")
    return value
