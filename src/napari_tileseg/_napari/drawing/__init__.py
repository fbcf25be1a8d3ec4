"""What is drawn over an image: the tile grid, outlines of tiles, strokes."""
