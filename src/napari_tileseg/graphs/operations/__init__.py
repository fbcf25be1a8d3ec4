"""Operations of a network, each with its rule: what a region of its output needs of its input."""
