"""Single events: where one is and why, voiding it, amending it. Keep out: metering (api.edge)."""
