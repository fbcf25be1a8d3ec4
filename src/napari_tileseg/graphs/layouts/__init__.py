"""Tensors whose axes lie in another order than batch, channels, space; and what is computed on them."""
