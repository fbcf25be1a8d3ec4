"""From a network to a graph of operations that have rules."""
