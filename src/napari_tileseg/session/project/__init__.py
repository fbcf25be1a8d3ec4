"""The project folder of a viewer."""
