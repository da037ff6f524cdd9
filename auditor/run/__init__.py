"""One audit on disk, and the list of many."""
