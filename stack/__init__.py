"""How it all starts: settings, embedded servers, processes and the aforo command. Keep out: rules."""
