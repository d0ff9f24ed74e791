"""What every test starts from: one thread, fixed examples, and no settings of the developer's own."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from hypothesis import settings

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

for name in [key for key in os.environ if key.startswith("HEADSTART_") and key != "HEADSTART_DATA"]:
    del os.environ[name]
if _DATA.is_dir():
    os.environ.setdefault("HEADSTART_DATA", str(_DATA))
os.environ["MPLBACKEND"] = "Agg"

torch.set_num_threads(1)

settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")
