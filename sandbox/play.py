"""A scenario from beginning to end. Put here: the order of things on the clock. Keep out: what steps do (steps.py), what comes of it
(outcome.py).

Time goes from step to step. Before each: what is received by then goes through the door and the gates, and what happens by itself
by then (trials end, grants expire, drafts are issued after their grace period …) is done, as production's schedules would.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from domain.catalog.fields import CatalogRefused, FieldProblem
from domain.errors import AforoError, PermanentFailure
from domain.instant import from_micros
from providers.refills import Manual
from sandbox.expected import Unmet, compare
from sandbox.ground import Ground, ground
from sandbox.outcome import Outcome, tell
from sandbox.receiving import Post, Written
from sandbox.scenario import BadScenario, Events, Scenario, Step, load
from sandbox.steps import KINDS
from sandbox.world import Body, World
from storage.catalog_service import apply_catalog
from storage.database import session_scope
from storage.services.invoice_upkeep import keep_invoices
from storage.services.subscription_upkeep import keep_up
from storage.services.threshold_invoices import cut_invoices
from storage.services.wallet_upkeep import keep_wallets


def run(scenario: Scenario | Path, server: str, *, stages: bool = True) -> Outcome:
    """Play a scenario in a scratch database of this PostgreSQL (a URL), which is gone afterwards; what came of it, and whether that
    was expected. stages: tell the rows of every stage too; where they are expected, they are told anyway. Raises BadScenario,
    UnreadableCatalog."""
    played = load(scenario) if isinstance(scenario, Path) else scenario
    with ground(server) as scratch:
        return play(played, scratch, stages=stages)


def play(scenario: Scenario, on: Ground, *, stages: bool = True) -> Outcome:
    """The same on a ground that is there, and fresh."""
    tenants = {catalog.tenant.id: written for written, catalog in scenario.catalogs}
    world = World(on, Post(on.lake, scenario.batch), scenario.start, tenants)
    world.move_to(scenario.start)
    story: list[dict[str, Any]] = []
    unmet: list[Unmet] = []
    try:
        for _, catalog in scenario.catalogs:
            with session_scope(on.database) as session:
                apply_catalog(session, catalog)
        _send(world, scenario.events)
        for step in scenario.steps:
            came = _step(world, step, story, unmet)
            if not came:
                break
        else:
            unmet += _let_the_rest_arrive(world)
    except FieldProblem as problem:
        raise BadScenario(scenario.source, [problem]) from None
    except CatalogRefused as refused:
        raise BadScenario(scenario.source, list(refused.problems)) from None
    head = {"scenario": scenario.name, "file": scenario.source}
    told = head | tell(world, story, stages=stages or "stages" in (scenario.expect or {}))
    if scenario.expect is not None and not unmet:
        unmet += compare(scenario.expect, told, "expect")
    return Outcome(told, tuple(unmet))


class Stuck(PermanentFailure):
    """What happens by itself did not happen."""

    code = "STUCK"


def _step(world: World, step: Step, story: list[dict[str, Any]], unmet: list[Unmet]) -> bool:
    """Play a step; whether the scenario can go on."""
    received, error = 0, None
    try:
        received = _pass_time(world, step.at)
        _send(world, step.events)
        received += _receive(world)
        did = _do(world, step)
    except AforoError as failure:
        if step.fails is None and isinstance(failure, FieldProblem | CatalogRefused):
            raise _located(failure, step) from None
        error, did = failure.code, str(failure)
    told = {
        "at": _iso(world.at),
        "step": step.kind,
        "did": did,
        "error": error,
        "note": step.note,
        "received": received,
    }
    story.append(told)  # fmt: skip
    if error != step.fails:
        came = f"{error}: {did}" if error else "done"
        unmet.append(Unmet(f"{step.path}.{step.kind}", step.fails or "done", came))
        return False
    if step.expect is not None:
        unmet += compare(step.expect, tell(world, story), f"{step.path}.expect")
    return True


def _do(world: World, step: Step) -> str:
    if step.kind not in KINDS:
        return "time passes" if not step.events else f"{len(step.events)} written or generated"
    kind = KINDS[step.kind]
    tenant = "" if kind.everybody and step.tenant is None else world.tenant(step.tenant, step.path)
    body = Body(step.body)
    if tenant and kind.everybody:
        body.rest.setdefault("tenants", [tenant])
    return kind.does(world, tenant, body)


def _located(failure: FieldProblem | CatalogRefused, step: Step) -> FieldProblem | CatalogRefused:
    """The same complaint, with where the step stands."""
    place = f"{step.path}.{step.kind}"
    if isinstance(failure, CatalogRefused):
        return CatalogRefused([FieldProblem(f"{place}.{each.path}", each.what) for each in failure.problems])
    return FieldProblem(f"{place}.{failure.path}", failure.what)


def _pass_time(world: World, until: datetime) -> int:
    """Everything that happens by itself by then; how many events were received. Raises Stuck."""
    world.move_to(until)
    received = _receive(world)
    database = world.ground.database
    rounds = {
        "subscriptions": keep_up(database, until).stuck,
        "wallets": keep_wallets(database, until, Manual().collect).stuck,
        "invoices": keep_invoices(database, until).stuck,
        "interim invoices": cut_invoices(database, world.ground.lake, until).stuck,
    }
    stuck = [f"{name}: {who}: {why}" for name, each in rounds.items() for who, why in each.items()]
    if stuck:
        raise Stuck("; ".join(stuck))
    return received


def _receive(world: World) -> int:
    with session_scope(world.ground.database) as session:
        return world.post.deliver(session, world.at)


def _send(world: World, events: Events) -> None:
    written: list[Written] = []
    for event in events:
        if isinstance(event, tuple):
            world.post.send_many(event[0], event[1])
        else:
            written.append(event)
    world.post.send(written)


def _let_the_rest_arrive(world: World) -> list[Unmet]:
    last = world.post.last()
    try:
        if last is not None:
            _pass_time(world, max(world.at, from_micros(last)))
    except Stuck as stuck:
        return [Unmet("end", "done", f"{stuck.code}: {stuck}")]
    return []


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
