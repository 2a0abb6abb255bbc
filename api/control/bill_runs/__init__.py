"""Bill runs at the management door: request, start, follow. Keep out: billing itself (a sensor starts it)."""
