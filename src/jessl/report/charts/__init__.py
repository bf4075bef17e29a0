"""Charts as SVG: Python that returns escaped markup; a file a chart."""
