"""The page of a comparison of encoders."""
