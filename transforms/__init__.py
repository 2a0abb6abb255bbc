"""The rules on frames: validate, deduplicate, enrich, estimate, and the ten billing stages. Put here: pure functions, frames in, a frame out. Keep out: I/O, clocks, Dagster."""
