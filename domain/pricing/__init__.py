"""One file per price model: the exact reference arithmetic. Put here: rules on single quantities. Keep out: frames (transforms does those, and is tested against this)."""
