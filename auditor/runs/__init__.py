"""What is done with runs once they are saved: listed, browsed, compared, verified, cleared away."""
