"""From layers of a viewer to images, and back to their placement."""
