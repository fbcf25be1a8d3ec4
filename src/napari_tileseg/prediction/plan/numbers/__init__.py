"""What a network computes over all of space: whose numbers they are, how they are gathered, and kept."""
