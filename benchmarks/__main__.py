"""`python -m benchmarks`: measure what we promise, print it, and write it into benchmarks/README.md. Keep out: how."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from benchmarks import control as control_load
from benchmarks import edge as edge_load
from benchmarks import edge_memory, machine, pipeline, report, start
from benchmarks import rebill as again
from benchmarks import sandbox as sandbox_play

app = typer.Typer(
    add_completion=False, help="Measure; each part replaces its section of benchmarks/README.md."
)
out = Console()
Repeats = Annotated[int, typer.Option(min=1, help="How often; medians are reported.")]


@app.callback(invoke_without_command=True)
def everything(ctx: typer.Context) -> None:
    """All parts but the edge's memory, one after the other: some tens of minutes, 4 GiB of memory. Example: python -m benchmarks edge
    --repeats 3"""
    if ctx.invoked_subcommand is None:
        starting(5)
        edge(5)
        control(3)
        sandbox(5)
        raw_to_invoices(5)
        growth(1)
        rebill(1)


@app.command("pipeline")
def raw_to_invoices(repeats: Repeats = 5, events: int = 1_000_000, customers: int = 1_000) -> None:
    """Raw events to invoices, beside the DuckDB reference."""
    head = report.heading(machine.describe(), machine.busy(), repeats)
    with tempfile.TemporaryDirectory(prefix="aforo-bench-") as folder:
        found = pipeline.measure(Path(folder), events, customers, repeats, out.print)
    _publish("pipeline", head + report.pipeline(found))


@app.command()
def growth(repeats: Repeats = 1, sizes: str = "100000,1000000,10000000") -> None:
    """The same for growing sizes, a customer for every thousand events; 10 million events want 4 GiB of memory and some minutes."""
    head = report.heading(machine.describe(), machine.busy(), repeats)
    with tempfile.TemporaryDirectory(prefix="aforo-bench-") as folder:
        series = [
            pipeline.measure(Path(folder), int(size), max(100, int(size) // 1_000), repeats, out.print)
            for size in sizes.split(",")
        ]
    _publish("growth", head + report.growth(series))


@app.command()
def rebill(
    repeats: Repeats = 1,
    events: int = 10_000_000,
    customers: int = 10_000,
    late: float = 0.001,
    every: str = "100,1",
) -> None:
    """A month billed again because a thousandth of its events came late: those of one customer in a hundred, then of all customers; 10
    million events want 4 GiB of memory and some minutes."""
    head = report.heading(machine.describe(), machine.busy(), repeats)
    count = round(events * late)
    with tempfile.TemporaryDirectory(prefix="aforo-bench-") as folder:
        series = [
            again.measure(Path(folder), events, customers, count, int(each), repeats, out.print)
            for each in every.split(",")
        ]
    _publish("rebill", head + report.rebill(events, customers, series))


@app.command()
def edge(repeats: Repeats = 5, workers: int = 1, seconds: float = 8.0) -> None:
    """canAccess and meter at a steady rate, full load, batches."""
    head = report.heading(machine.describe(), machine.busy(), repeats)
    found = edge_load.measure(repeats, out.print, seconds=seconds, workers=workers)
    _publish("edge", head + report.figures(found))


@app.command("edge-memory")
def memory(events: int = 10_000_000, workers: int = 1) -> None:
    """The edge's memory while millions of events go through it; ten million take some minutes."""
    head = report.heading(machine.describe(), machine.busy(), 1)
    found = edge_memory.measure(events, out.print, workers=workers)
    _publish("edge-memory", head + report.memory(found, edge_memory.growth(found["samples"])))


@app.command()
def control(
    repeats: Repeats = 3,
    customers: int = 100_000,
    seconds: float = 30.0,
    files: Annotated[bool, typer.Option(help="Also `aforo apply` of 10,000 customers.")] = True,
) -> None:
    """The management door over a hundred thousand customers: requests, lists, rights on their way to the edge, large files."""
    head = report.heading(machine.describe(), machine.busy(), repeats)
    found = report.figures(control_load.measure(repeats, customers, seconds, out.print), " ms")
    if files:
        found += "\n" + report.figures(control_load.measure_files(repeats, 10_000, out.print), " s")
    _publish("control", head + found)


@app.command()
def sandbox(repeats: Repeats = 5) -> None:
    """A scenario of a million events through all ten stages."""
    head = report.heading(machine.describe(), machine.busy(), repeats)
    _publish("sandbox", head + report.figures(sandbox_play.measure(repeats, out.print), " s"))


@app.command("start")
def starting(repeats: Repeats = 5) -> None:
    """`aforo up` to the first accepted event."""
    head = report.heading(machine.describe(), machine.busy(), repeats)
    _publish("start", head + report.figures(start.measure(repeats, out.print), " s"))


def _publish(section: str, text: str) -> None:
    report.replace(section, text)
    out.print(Markdown(text))


if __name__ == "__main__":
    app()
