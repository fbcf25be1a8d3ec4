"""What a prediction will do, before a voxel is computed."""
