"""The audit log at the management door: read and verify, nothing else. Keep out: recording (services do)."""
