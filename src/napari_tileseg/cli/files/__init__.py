"""Files that verbs read and write, checked before the work is done."""
