"""The verb `pack`: any source to tar shards with an index."""
