"""Labels that are painted in a viewer."""
