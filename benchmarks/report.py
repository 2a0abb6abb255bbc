"""Figures as Markdown. Put here: medians, tables, the part of benchmarks/README.md between the markers. Keep out: measuring."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

FILE = Path(__file__).parent / "README.md"
_MOST_STEPS = 12


def replace(section: str, text: str) -> None:
    """Put the text between the section's markers in benchmarks/README.md."""
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    page = FILE.read_text(encoding="utf-8")
    head, rest = page.split(begin, 1)
    tail = rest.split(end, 1)[1]
    FILE.write_text(f"{head}{begin}\n{text.rstrip()}\n{end}{tail}", encoding="utf-8")


def heading(machine: str, busy: float, repeats: int) -> str:
    """What was measured where, and how much of the machine other work took when it began."""
    runs = "one run" if repeats == 1 else f"medians of {repeats} runs"
    return f"{machine}; {runs}; other work took {busy:.0%} of the processors when it began.\n\n"


def pipeline(found: dict[str, Any]) -> str:
    """Reference, pipeline, ratio, memory; then where the pipeline's time goes."""
    reference, ours = found["reference"], found["pipeline"]
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(ours, reference, strict=True)]
    rows = [
        ("events, customers", f"{found['events']:,}, {found['customers']:,}"),
        ("events metered, invoices", f"{ours[0]['metered']:,}, {ours[0]['invoices']:,}"),
        ("total of all invoices, both", ours[0]["total"]),
        ("reference", f"{_median(reference, 'seconds'):.2f} s"),
        ("raw → invoices", f"{_median(ours, 'seconds'):.2f} s"),
        ("ratio", f"**{median(ratios):.1f}**"),
        ("with job set-up around it", f"{_median(ours, 'wall'):.2f} s"),
        ("peak memory, reference", f"{_median(reference, 'peak_mib'):,.0f} MiB"),
        (
            "peak memory, raw → invoices",
            f"{_median(ours, 'peak_mib'):,.0f} MiB, of which {_median(ours, 'imports_mib'):,.0f} MiB imports",
        ),
    ]
    return (
        _table(("", ""), rows)
        + "\nWhere it goes (a step with `_gate` is the blocking check of a table):\n\n"
        + _profile(ours)
    )


def rebill(events: int, customers: int, series: list[list[dict[str, Any]]]) -> str:
    """A row for each way late events are spread: first time, second time, their ratio; then where the first one's second time goes."""
    head = (
        "late events",
        "of customers",
        "the month for the first time",
        "late events in, and their customers again",
        "ratio",
    )
    rows = [
        (
            f"{found[0]['late']:,}",
            f"{found[0]['customers']:,}",
            f"{_median(found, 'first'):.2f} s",
            f"{_median(found, 'again'):.2f} s",
            f"**{median(each['again'] / each['first'] for each in found):.1%}**",
        )
        for found in series
    ]
    again = [{**each, "seconds": each["again"]} for each in series[0]]
    return (
        f"{events:,} events, {customers:,} customers.\n\n"
        + _table(head, rows)
        + "\nWhere the time of the first row goes:\n\n"
        + _profile(again)
    )


def memory(found: dict[str, Any], grown: float) -> str:
    """A row per sample; growth after the first tenth."""
    rows = [(f"{events:,}", f"{edge:,.0f}", f"{valkey:,.0f}") for events, edge, valkey in found["samples"]]
    said = f"\n{found['rate']:,.0f} events/s; the edge has grown by **{grown:,.0f} MiB** since the first tenth.\n"
    return _table(("events", "edge, MiB", "Valkey, MiB"), rows) + said


def growth(series: list[dict[str, Any]]) -> str:
    """One row per size, with the factor over the size before."""
    rows, before = [], None
    for found in series:
        seconds, reference = (_median(found[side], "seconds") for side in ("pipeline", "reference"))
        factor = "" if before is None else f"{seconds / before:.1f}"
        memory = f"{_median(found['pipeline'], 'peak_mib'):,.0f} MiB"
        cells = (
            f"{found['events']:,}",
            f"{reference:.2f} s",
            f"{seconds:.2f} s",
            f"{seconds / reference:.1f}",
            factor,
            memory,
        )
        rows.append(cells)
        before = seconds
    return _table(("events", "reference", "raw → invoices", "ratio", "growth", "peak memory"), rows)


def figures(found: dict[str, list[float]], units: str = "") -> str:
    """One row per figure: the median, and the range."""
    rows = [
        (name, f"{median(values):,.2f}{units}", f"{min(values):,.2f} … {max(values):,.2f}")
        for name, values in found.items()
    ]
    return _table(("", "median", "range"), rows)


def _profile(ours: list[dict[str, Any]]) -> str:
    def of(step: str) -> float:
        return median(run["steps"][step] for run in ours)

    names = sorted(ours[0]["steps"], key=of, reverse=True)
    shown = [(f"`{name}`", f"{of(name):.2f} s") for name in names[:_MOST_STEPS]]
    rest = names[_MOST_STEPS:]
    between = _median(ours, "seconds") - sum(map(of, names))
    shown.append((f"the other {len(rest)} steps together", f"{sum(map(of, rest)):.2f} s"))
    shown.append(("between steps (Dagster's records)", f"{between:.2f} s"))
    return _table(("step", "time"), shown)


def _median(runs: list[dict[str, Any]], name: str) -> float:
    return median(run[name] for run in runs)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
