"""Fine-tuning in a viewer."""
