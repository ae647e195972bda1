"""docs/python.md, word for word."""

import os
import re
import subprocess
import sys
from pathlib import Path

import metacli

DOCUMENT = Path(__file__).parents[2] / "docs" / "python.md"
CHECKS = """
assert found.labels == ["circle"]
assert found.classes == ("circle", "square", "cross")
assert more.headline.mean > run.headline.mean > 0.4
"""


def test_the_notebook_runs_as_it_stands(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 5
    (tmp_path / "notebook.py").write_text("".join([*blocks, CHECKS]), encoding="utf-8")
    checkout = str(Path(metacli.__file__).parents[1])
    environment = os.environ | {"METACLI_CACHE": str(tmp_path / "cache"), "PYTHONPATH": checkout}
    done = subprocess.run(
        [sys.executable, "-W", "error", "notebook.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "runs" / "protonet-glyphs").is_dir()
