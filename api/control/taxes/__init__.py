"""Tax rates and exchange rates over HTTP. Keep out: which rate holds, what it comes to."""
