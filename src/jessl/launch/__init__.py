"""Pretrainings and sweeps as jobs of a SLURM cluster, by submitit.

May import sweeps, pretraining and what lies below; importing it costs nothing.
"""
