"""How much tiles disagree, and how well a network's statistics fit."""
