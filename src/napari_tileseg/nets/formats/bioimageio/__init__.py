"""Packages of bioimage.io: what their description states is read as data, and weights like any others."""
