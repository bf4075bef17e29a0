"""Networks that jessl implements itself."""
