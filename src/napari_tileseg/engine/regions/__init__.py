"""Computing any box of a network's result, and of its feature maps no more than that box needs."""
