"""Which overlapping tiles are compared, and where."""
