"""Who bills a month: one run at a time, and a killed one stands in nobody's way."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from sqlalchemy import Engine

from storage.bill_claims import BillClaim, MonthBeingBilled, is_billed_now
from storage.database import session_scope
from storage.repositories.bill_requests import BillRequests, BillRunInProgress
from storage.scope import Scope
from tests.storage.worlds import ACME, applied

MARCH = Scope("2026-03")
OF_ACME, OF_GLOBEX = Scope("2026-03", ("acme",)), Scope("2026-03", ("globex",))
OF_ANN = Scope("2026-03", ("acme",), ("ann",))


@pytest.mark.parametrize(
    ("first", "second", "allowed"),
    [
        (MARCH, MARCH, False),
        (MARCH, OF_ACME, False),
        (OF_ACME, MARCH, False),
        (OF_ACME, OF_ACME, False),
        (OF_ACME, OF_ANN, False),
        (OF_ACME, OF_GLOBEX, True),
        (MARCH, Scope("2026-04"), True),
    ],
)
def test_of_two_runs_whose_rows_overlap_the_second_is_refused(
    engine: Engine, first: Scope, second: Scope, allowed: bool
) -> None:
    one, other = BillClaim(engine), BillClaim(engine)
    one.hold(first)
    one.hold(first)
    if allowed:
        other.hold(second)
    else:
        with pytest.raises(MonthBeingBilled, match="2026-03"):
            other.hold(second)
        one.release()
        with pytest.raises(MonthBeingBilled):
            other.hold(second)  # refused once, refused for good
        other.release()
        other.hold(second)
    for each in (one, other):
        each.release()


def test_whoever_asks_is_told_that_a_month_is_being_billed(engine: Engine) -> None:
    claim = BillClaim(engine)
    with session_scope(engine) as session:
        claim.hold(OF_ACME)
        assert is_billed_now(session, "acme", "2026-03")
        assert is_billed_now(session, "acme")
        assert not is_billed_now(session, "acme", "2026-04")
        assert not is_billed_now(session, "globex", "2026-03")
        claim.release()
        assert not is_billed_now(session, "acme", "2026-03")
        claim.hold(MARCH)
        assert is_billed_now(session, "globex", "2026-03")
        claim.release()


def test_a_run_started_in_the_ui_keeps_the_door_from_starting_another(engine: Engine) -> None:
    claim = BillClaim(engine)
    with session_scope(engine) as session:
        applied(session, ACME)
        requests = BillRequests(session, "acme")
        run = requests.create("2026-03").id
        claim.hold(MARCH)
        with pytest.raises(BillRunInProgress):
            requests.execute(run)
        claim.release()
        assert requests.execute(run).status == "QUEUED"


def test_what_a_killed_process_had_taken_is_free_at_once(engine: Engine, database_url: str) -> None:
    code = (
        "import sys, time\nfrom storage.bill_claims import BillClaim\nfrom storage.database import engine_of\n"
        "from storage.lake import Scope\nclaim = BillClaim(engine_of(sys.argv[1]))\nclaim.hold(Scope('2026-03'))\n"
        "print('held', flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, database_url], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        claim = BillClaim(engine)
        with pytest.raises(MonthBeingBilled):
            claim.hold(OF_ACME)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while True:
        try:
            claim.release()
            claim.hold(OF_ACME)
            break
        except MonthBeingBilled:
            assert time.monotonic() < deadline, "the server keeps a dead session's locks"
            time.sleep(0.05)
    claim.release()
