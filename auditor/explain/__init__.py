"""Explanations: they localise and illustrate, they never decide."""
