"""The label-free scores, one file each; the folder is the registry."""
