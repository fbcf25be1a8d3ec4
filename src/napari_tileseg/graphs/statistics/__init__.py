"""What a network computes over all of space: found in its graph, gathered from parts, and held fixed."""
