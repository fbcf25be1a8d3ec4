"""How large cores should be, by what they cost."""
