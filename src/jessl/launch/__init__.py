"""Pretrainings and sweeps as jobs of a SLURM cluster."""
