"""Figures are the same bytes, whatever the user has set for matplotlib."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.workspace import ROOT

DRAW = """
import sys
from pathlib import Path
import numpy as np
from breast_ultrasound.evaluation.figures import class_balance
class_balance(np.arange(30) % 3 == 0, np.arange(30) % 2, Path(sys.argv[1]))
"""
LARGE = "savefig.dpi: 300\nfont.size: 20\nsavefig.bbox: tight\nsavefig.facecolor: red\n"


def drawn(folder: Path, **settings: str) -> bytes:
    env = {"PYTHONPATH": str(ROOT / "src"), **os.environ, **settings}
    command = [sys.executable, "-c", DRAW, "a.png"]
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    return (folder / "a.png").read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return drawn(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "?"])
def test_the_users_backend_changes_nothing(plain: bytes, tmp_path: Path, backend: str) -> None:
    assert drawn(tmp_path, MPLBACKEND=backend) == plain


@pytest.mark.parametrize(
    "content", [LARGE.encode(), b"backend: nonsense\nnot a line\n" + LARGE.encode(), b"\xff\xfe"]
)
def test_the_users_style_changes_nothing(plain: bytes, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "style").write_bytes(content)
    assert drawn(tmp_path, MATPLOTLIBRC=str(tmp_path / "style")) == plain


def test_a_style_in_the_current_folder_changes_nothing(plain: bytes, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(LARGE)
    assert drawn(tmp_path) == plain
