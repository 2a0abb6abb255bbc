"""Offerings at the management door: bodies and routes. Keep out: what offerings do (storage.services.offerings)."""
