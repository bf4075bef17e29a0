"""Views in batched torch operations, for images that lie on a GPU."""
