"""Suspects that nobody named: what to test, from the data, the model and both. Proposals never decide."""
