"""The records of the studies that explain a model: what each method found on the audited images."""
