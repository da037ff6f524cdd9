"""Audits where people already work: while a model is trained, and beside its other experiments."""
