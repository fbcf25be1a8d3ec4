"""Widgets and helpers that know neither viewer nor session."""
