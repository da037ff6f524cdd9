"""Audits where people already work: in their tests, while a model is trained, and beside its other experiments."""
