"""What is put in, taken out, or done innocently instead."""
