"""What the fork server has ready for the processes of the tests: imports, and the compiled views.

Most processes open images, train, probe or keep a study, and would import this one by one, which
takes each of them seconds.
"""

from __future__ import annotations

import importlib

from jessl.views.kernels import compiled

MODULES = (
    "torch._dynamo",
    "torch.distributed",
    "sklearn.datasets",
    "sklearn.linear_model",
    "scipy.stats",
    "pandas",
    "pyarrow.parquet",
    "optuna.storages",
    "sqlalchemy.orm",
    "alembic.migration",
    "rich.progress",
    "safetensors.torch",
    "jessl.pretraining.pretrain",
    "jessl.sweeps.sweep",
)

for module in MODULES:
    importlib.import_module(module)
compiled()
