"""Images, labels and groups, wherever they come from."""
