"""The door: commands that parse, call and print."""
