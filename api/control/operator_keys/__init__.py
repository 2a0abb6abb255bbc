"""Operator keys at the management door. Keep out: what may be done with them (storage)."""
