"""Networks whose files hold a list of operations: read as data, checked, and carried out by one module."""
