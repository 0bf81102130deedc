"""Placeholder for the tour."""
