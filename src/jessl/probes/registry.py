"""Which kinds of probes there are."""

from __future__ import annotations

from jessl.probes import knn, logistic, mlp, ridge
from jessl.probes.kinds import Kind

KINDS: dict[str, Kind] = {
    "logistic": logistic.KIND,
    "ridge": ridge.KIND,
    "mlp": mlp.KIND,
    "knn": knn.KIND,
}
