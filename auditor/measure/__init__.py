"""A number with its interval, and the rows and pictures behind it."""
