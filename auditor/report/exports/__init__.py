"""A saved run for other tools."""
