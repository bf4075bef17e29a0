"""Charts as SVG: Python that returns escaped markup."""
