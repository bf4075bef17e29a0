"""The page of an analysis of a table of models."""
