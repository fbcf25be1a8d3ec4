"""How panels live in a viewer's window."""
