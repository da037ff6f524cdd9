"""What lies on an object store: addresses, reading and fetching, reading ahead, writing."""
