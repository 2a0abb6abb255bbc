"""Claims of the pipeline page: the invoice carried through the stages is the one the scenario comes to."""

from sandbox.play import run
from tools import worked_invoice


def test_the_page_shows_what_the_scenario_comes_to(server: str) -> None:
    outcome = run(worked_invoice.SCENARIO, server)
    assert outcome.met
    written = worked_invoice.PAGE.read_text(encoding="utf-8")
    assert written == worked_invoice.page(outcome), "run `python -m tools.worked_invoice`"
