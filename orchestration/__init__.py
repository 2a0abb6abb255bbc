"""Dagster's nouns: definitions, resources, IO manager, checks, jobs, schedules, sensors, partitions. Keep out: rules and SQL."""
