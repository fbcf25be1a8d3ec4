"""Whether a captured network computes what the network itself computes."""
