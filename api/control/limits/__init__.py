"""Limits of requests, margin levels and killed sessions, at the management door."""
