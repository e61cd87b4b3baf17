"""Training under the gradient constraint: one run, and many at once."""
