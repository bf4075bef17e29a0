"""Pretrainings, embeddings, comparisons and sweeps as jobs of a SLURM cluster, by submitit.

May import sweeps, pretraining and what lies below; importing it costs nothing.
"""

from jessl.core.deprecation import renamed_names

__getattr__ = renamed_names(
    __name__,
    submit="jessl.launch.slurm:submit",
    submit_sweep="jessl.launch.slurm:submit_sweep",
)
