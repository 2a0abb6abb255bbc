"""Whatever is killed, frozen, starved or set wrong under load: what was acknowledged is billed once, and nothing else is.

Each case plays on the same processes and ends with the same accounts. The dice are seeded: AFORO_CHAOS_SEED plays a game again.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.harness import short_folder, wait_until
from tests.journeys.chaos import Load, World, assert_accounted_for, under_load, wait_for_database, world

SEED = int(os.environ.get("AFORO_CHAOS_SEED", "20261121"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def chaos() -> Iterator[World]:
    with short_folder() as folder, world(folder) as made:
        yield made


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """The dice of this case."""
    print(f"AFORO_CHAOS_SEED={SEED}")  # noqa: T201
    return random.Random(f"{SEED}-{request.node.name}")


def play(
    chaos: World,
    dice: random.Random,
    name: str,
    acts: Callable[[], None],
    *,
    is_felt: bool = True,
    keeps_counters: bool = True,
) -> list[Load]:
    """Load, the acts, the accounts. is_felt: clients had to try again or were spooled. keeps_counters: nothing had to be put right."""
    with under_load(chaos, name, dice) as loads:
        breathe(dice)
        acts()
        breathe(dice)
    chaos.settle()
    assert_accounted_for(chaos, name, loads)
    if is_felt:
        felt = sum(load.told.retries + load.told.spooled for load in loads)
        assert felt > 0, "nobody felt anything: the case proved nothing"
    adrift = chaos.recount()
    assert adrift.is_empty() is keeps_counters, adrift
    assert chaos.recount().is_empty(), "counters equal the lake"
    return loads


def breathe(dice: random.Random) -> None:
    time.sleep(dice.uniform(0.4, 0.9))


def edge_anew(chaos: World, *, spool: bool) -> None:
    chaos.site.edge.kill()
    chaos.site.start_edge(spool=spool)


def test_an_edge_that_is_killed_loses_nothing_it_acknowledged(chaos: World, dice: random.Random) -> None:
    def acts() -> None:
        for _ in range(2):
            edge_anew(chaos, spool=False)
            breathe(dice)

    play(chaos, dice, "edge-kill", acts)


def test_an_edge_that_freezes_goes_on_where_it_was(chaos: World, dice: random.Random) -> None:
    def acts() -> None:
        with chaos.site.edge.frozen():
            time.sleep(4.3)  # longer than clients wait

    play(chaos, dice, "edge-freeze", acts)


@pytest.mark.parametrize("spool", [False, True])
def test_a_log_that_is_killed_and_comes_back(chaos: World, dice: random.Random, spool: bool) -> None:
    edge_anew(chaos, spool=spool)

    def acts() -> None:
        for _ in range(2):
            chaos.site.valkey.kill()
            breathe(dice)
            chaos.site.start_valkey()
            breathe(dice)

    loads = play(chaos, dice, f"log-kill-{spool}", acts)
    assert (sum(load.told.spooled for load in loads) > 0) is spool


@pytest.mark.parametrize("spool", [False, True])
def test_a_log_that_freezes(chaos: World, dice: random.Random, spool: bool) -> None:
    edge_anew(chaos, spool=spool)

    def acts() -> None:
        with chaos.site.valkey.frozen():
            time.sleep(4.5)

    play(chaos, dice, f"log-freeze-{spool}", acts)


def test_an_edge_killed_over_its_spool_leaves_it_to_the_next(chaos: World, dice: random.Random) -> None:
    edge_anew(chaos, spool=True)
    breathe(dice)

    def acts() -> None:
        chaos.site.valkey.kill()
        breathe(dice)
        chaos.site.edge.kill()
        assert list((chaos.site.folder / "spool").glob("*/*.log")), "there was nothing to leave"
        chaos.site.start_valkey()
        chaos.site.start_edge(spool=True)

    play(chaos, dice, "spool-kill", acts)


def test_a_drain_that_is_killed_or_frozen(chaos: World, dice: random.Random) -> None:
    def acts() -> None:
        for _ in range(3):
            chaos.movers[0].kill()
            chaos.movers[0].start()
            time.sleep(dice.uniform(0.4, 1.5))
        with chaos.movers[0].frozen():
            breathe(dice)

    play(chaos, dice, "drain-kill", acts, is_felt=False)


def test_two_drains_at_once(chaos: World, dice: random.Random) -> None:
    def acts() -> None:
        chaos.movers[0].kill()
        for mover in chaos.movers:
            mover.start(AFORO_UNLOCKED="1")
        time.sleep(3)
        chaos.movers[1].kill()
        chaos.movers[0].kill()
        chaos.movers[0].start()

    play(chaos, dice, "two-drains", acts, is_felt=False)


def test_a_database_that_is_killed_or_frozen_stops_no_metering(chaos: World, dice: random.Random) -> None:
    def acts() -> None:
        for _ in range(2):
            chaos.postgres.kill()
            breathe(dice)
            chaos.start_postgres()
        with chaos.postgres.frozen():
            time.sleep(2)

    loads = play(chaos, dice, "database-kill", acts, is_felt=False)
    assert sum(load.told.retries for load in loads) == 0
    wait_for_database(chaos)


@pytest.mark.parametrize("spool", [False, True])
def test_a_full_disk_below_the_log_and_then_below_the_edge(
    chaos: World, dice: random.Random, spool: bool
) -> None:
    edge_anew(chaos, spool=spool)
    breathe(dice)
    site = chaos.site

    def acts() -> None:
        files = (site.folder / "valkey" / "appendonlydir").glob("*.aof")
        site.valkey.file_limit(max(file.stat().st_size for file in files) + 20_000)
        wait_until(lambda: not site.valkey.is_alive, what="Valkey to give up on its full disk")
        breathe(dice)
        if spool:
            site.edge.file_limit(200_000)
            time.sleep(2)
            site.edge.file_limit(None)
        site.start_valkey()

    play(chaos, dice, f"disk-full-{spool}", acts)


def test_a_log_that_comes_back_empty(chaos: World, dice: random.Random) -> None:
    """What was drained before it was lost; nothing can bring back what was in it alone. Its keys and counters are gone too."""
    site = chaos.site
    edge_anew(chaos, spool=False)
    with under_load(chaos, "lost", dice) as before:
        time.sleep(2)
    chaos.settle()
    site.valkey.kill()
    shutil.rmtree(site.folder / "valkey" / "appendonlydir")
    with ExitStack() as unpublished:
        unpublished.enter_context(chaos.rights.frozen())
        site.start_valkey()
        with under_load(chaos, "lost", random.Random(f"{SEED}-again")) as again:  # the same keys once more
            time.sleep(0.5)
            unpublished.close()
            time.sleep(2)
    chaos.settle()
    assert sum(load.told.retries for load in again) > 0, (
        "until rights are published, nobody is told that a key is wrong"
    )
    assert_accounted_for(chaos, "lost", [*before, *again])
    assert not chaos.recount().is_empty()
    assert chaos.recount().is_empty(), "counters equal the lake"


def test_a_clock_that_jumps(chaos: World, dice: random.Random) -> None:
    def acts() -> None:
        for _ in range(4):
            chaos.site.clock(dice.randrange(-6, 7) * 1800)
            breathe(dice)
        chaos.site.clock(0)

    play(chaos, dice, "clock", acts, is_felt=False)
    edge_anew(chaos, spool=False)


def test_answers_that_get_lost_are_asked_for_again(chaos: World, dice: random.Random) -> None:
    with under_load(chaos, "answers", dice) as loads:
        for load in loads:
            load.loses_answers = 0.7
        time.sleep(3)
    chaos.settle()
    assert sum(load.told.lost_answers for load in loads) > 20
    assert_accounted_for(chaos, "answers", loads)
    assert chaos.recount().is_empty(), "counters equal the lake"
