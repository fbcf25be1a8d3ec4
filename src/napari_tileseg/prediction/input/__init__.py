"""Reading an image for a network: chunks, intensities, padding."""
