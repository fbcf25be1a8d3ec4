"""A prediction on disk: written, resumed, read back."""
