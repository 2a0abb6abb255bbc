"""Organization settings, at the management door."""
