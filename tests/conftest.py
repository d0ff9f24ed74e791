"""What every test starts from: one thread, fixed examples, and no settings of the developer's own."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from hypothesis import HealthCheck, settings

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

_KEPT = ("HEADSTART_DATA", "HEADSTART_TEST_POSTGRES")

for name in [key for key in os.environ if key.startswith("HEADSTART_") and key not in _KEPT]:
    del os.environ[name]
if _DATA.is_dir():
    os.environ.setdefault("HEADSTART_DATA", str(_DATA))
os.environ["MPLBACKEND"] = "Agg"

torch.set_num_threads(1)

# A busy machine is no finding: examples are few, fixed, and may take their time.
_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "fixed", derandomize=True, deadline=None, database=None, suppress_health_check=_SLOW
)
settings.load_profile("fixed")
