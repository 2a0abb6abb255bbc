"""Claims of `aforo sandbox`: exit codes for scripts, tables for people, JSON for both; beside the stack, not in it."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from stack.cli import app
from stack.sandbox_server import sandbox_server

WORLD = """
name: A fee
catalog:
  tenant: {id: acme, name: Acme, currency: USD}
  ratePlans: [{key: api, baseFee: 10}]
  offerings: [{code: api, ratePlan: api}]
  customers: [{id: ada, name: Ada}]
  subscriptions: [{id: sub-ada, customer: ada, offering: api, startDate: 2026-03-01}]
steps: [{bill: 2026-03}]
expect: {invoices: [{total: TOTAL}]}
"""


def written(folder: Path, text: str) -> str:
    (folder / "world.yaml").write_text(text, encoding="utf-8")
    return str(folder / "world.yaml")


def test_met_unmet_and_no_scenario_have_exit_codes_of_their_own(home: Path, tmp_path: Path) -> None:
    play = CliRunner().invoke
    met = play(app, ["sandbox", "run", written(tmp_path, WORLD.replace("TOTAL", "10")), "--json"])
    assert (met.exit_code, json.loads(met.stdout)["invoices"][0]["total"]) == (0, "10")
    unmet = play(app, ["sandbox", "run", written(tmp_path, WORLD.replace("TOTAL", "11"))])
    assert unmet.exit_code == 1
    assert "expect.invoices[0].total: expected 11, came 10" in unmet.stdout
    bad = play(app, ["sandbox", "run", written(tmp_path, "name: x")])
    assert bad.exit_code == 2


def test_the_library_is_listed_and_the_schema_printed(home: Path) -> None:
    listed = CliRunner().invoke(app, ["sandbox", "list", "--json"])
    assert {"plan-upgrade", "clock-skew"} <= {each["scenario"] for each in json.loads(listed.stdout)}
    assert "steps" in json.loads(CliRunner().invoke(app, ["sandbox", "schema"]).stdout)["properties"]


def test_two_at_once_do_not_wait_for_each_other(home: Path) -> None:
    with sandbox_server(home) as one, sandbox_server(home) as other:
        assert one != other
