"""Where things lie: the checkout, its tests, and the real data beside it."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
# real data beside the checkout; tests that want it skip where it is absent
SHARED = ROOT.parent / "shared" / "data"
