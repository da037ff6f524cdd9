"""Tells whether an image classifier takes shortcuts, and shows how it knows."""
