"""MONAI bundles: their configuration is read as data, and never by MONAI's own parser, which runs code."""
