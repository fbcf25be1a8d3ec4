"""What labels mean: strokes, classes or instances as targets of a network's classes; and Dice."""
