"""Super-resolution by a residual dense network."""
