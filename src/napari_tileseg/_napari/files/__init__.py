"""What napari's menus open: images, predictions, sample data."""
