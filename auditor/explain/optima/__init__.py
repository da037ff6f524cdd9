"""What does the model look for? Activation maximisation."""
