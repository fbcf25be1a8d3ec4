"""A package's own test: its test input is run on opening, and held against the answer that it states."""
