"""Replays of closed months and the corrections they propose. Keep out: finding differences (storage)."""
