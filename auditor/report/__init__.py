"""A saved run as a page, a PDF, a comparison, or a file for another tool; no TensorFlow."""
