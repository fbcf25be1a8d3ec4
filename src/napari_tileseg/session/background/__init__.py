"""Long work in threads."""
