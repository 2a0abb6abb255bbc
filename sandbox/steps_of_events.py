"""Steps upon single events. Put here: voiding and amending what was accepted. Keep out: sending events (receiving.py). Each calls the
service that the management door calls; the act then goes through the gates like any event, by no log."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.world import Body, World
from storage.services.event_corrections import EventCorrections, request_of
from storage.tables.corrections import EventActRow


def void_event(world: World, tenant: str, body: Body) -> str:
    row = _done(world, tenant, body, lambda acts, key: acts.void(key, body.rest))
    return f"event {row.event_key} counts no more"


def amend_event(world: World, tenant: str, body: Body) -> str:
    row = _done(world, tenant, body, lambda acts, key: acts.amend(key, body.rest))
    changed = ", ".join(f"{name} {was['before']} → {was['after']}" for name, was in row.changes.items())
    return f"event {row.event_key}: {changed or 'says the same again'}"


def _done(
    world: World, tenant: str, body: Body, act: Callable[[EventCorrections, str], EventActRow]
) -> EventActRow:
    said, name = body.take("event"), body.maybe("as")
    with world.tx(tenant) as tx:
        row = act(EventCorrections(tx, world.ground.lake, None), world.names.get(said, said))
        if name is not None:
            world.names[name] = row.act_key
        row.sent_at = tx.at
        world.post.take_in(request_of(row))
        return row
