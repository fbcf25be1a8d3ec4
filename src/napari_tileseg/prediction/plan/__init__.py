"""Planning a prediction, before a voxel is computed."""
