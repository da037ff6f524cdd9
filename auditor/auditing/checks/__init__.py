"""Checks that run themselves: a matrix of audits, each compared with what was accepted, gated and told of."""
