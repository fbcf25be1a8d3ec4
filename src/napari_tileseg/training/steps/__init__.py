"""Steps of the optimizer, and what they follow."""
