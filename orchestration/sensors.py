"""What makes things run when something happens. Put here: sensors. Keep out: what they run (jobs.py)."""

import dagster as dg

SENSORS: list[dg.SensorDefinition] = []
