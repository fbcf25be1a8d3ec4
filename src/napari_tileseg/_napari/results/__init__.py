"""Predictions, heatmaps and live predictions as layers."""
