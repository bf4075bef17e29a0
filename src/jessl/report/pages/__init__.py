"""Pages: their content as plain values, which the templates turn into HTML."""
