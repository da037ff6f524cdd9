"""One audit from configuration to saved run."""
