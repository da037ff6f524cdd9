"""`audit.toml`: its keys, options by signature, and the place of every fault."""
