"""The numbers we promise, measured: `python -m benchmarks`. Put here: data, loads, reference, report. Keep out: assertions."""
