"""Running a graph of operations on regions, alone or in sweeps."""
