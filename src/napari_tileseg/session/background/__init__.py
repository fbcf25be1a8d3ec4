"""Long work in threads, and what hears of it."""
