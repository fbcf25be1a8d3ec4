"""The order in which tiles are done."""
