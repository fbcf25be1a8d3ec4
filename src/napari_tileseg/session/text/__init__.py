"""Words that all panels share."""
