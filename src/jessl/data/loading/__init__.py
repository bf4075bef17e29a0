"""Batches of views from a source, and the measurement of their speed."""
