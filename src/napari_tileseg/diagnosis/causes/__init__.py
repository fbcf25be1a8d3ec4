"""Why tiles disagree, and what to do."""
