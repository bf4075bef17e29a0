"""Sources: indexable images with stable ids, one file a kind."""
