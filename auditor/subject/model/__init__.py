"""Models behind one protocol, whatever they were written with."""
