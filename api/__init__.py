"""The doors. Put here: HTTP. Keep out: rules; the doors do not know each other."""
