"""What several tests share: samples, paths, processes."""
