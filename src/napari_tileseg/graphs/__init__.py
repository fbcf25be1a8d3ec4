"""A network as its graph: captured by torch, translated into operations whose reach in space is known."""
