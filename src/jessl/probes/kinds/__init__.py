"""The probes, one file a kind; the folder is the registry."""
