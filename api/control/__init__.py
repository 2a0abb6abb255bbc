"""The management door: a folder per noun. Keep out: Dagster (a request row is written, a sensor picks it up)."""
