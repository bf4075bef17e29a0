"""Which kinds of probes there are."""

from __future__ import annotations

from jessl.probes.base import Kind
from jessl.probes.kinds import knn, logistic, mlp, ridge

KINDS: dict[str, Kind] = {
    "logistic": logistic.KIND,
    "ridge": ridge.KIND,
    "mlp": mlp.KIND,
    "knn": knn.KIND,
}
