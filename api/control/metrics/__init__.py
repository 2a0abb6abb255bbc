"""Billable units over HTTP, where they are called metrics. Put here: their routes and bodies. Keep out: rules."""
