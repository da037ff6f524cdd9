"""Studies: a method that explains, applied to the audited model and images, measured and recorded."""
