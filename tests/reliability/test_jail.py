"""Campaigns that run as root can change nothing but what they were given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
from benchmarks.reliability._jail import confine
inside, outside = Path(sys.argv[1]), Path(sys.argv[2])
if not confine([inside]):
    sys.exit(77)
(inside / "a").write_text("1")
try:
    (outside / "b").write_text("1")
except OSError:
    sys.exit(0)
sys.exit(1)
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can harm others' files"
)
def test_nothing_outside_can_be_changed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(inside), str(outside)], check=False)
    if done.returncode == 77:
        pytest.skip("this system allows no mounts of one's own")
    assert done.returncode == 0
    assert (inside / "a").is_file() and not list(outside.iterdir())
    (outside / "b").touch()  # this process is where it was
