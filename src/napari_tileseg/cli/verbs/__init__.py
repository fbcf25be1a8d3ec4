"""The verbs of `tileseg`, one module each."""
