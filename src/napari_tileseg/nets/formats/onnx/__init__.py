"""ONNX networks: read by a small reader of ours, as data, and turned into a list of torch's operations."""
