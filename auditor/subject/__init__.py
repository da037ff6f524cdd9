"""The model and the images that are audited."""
