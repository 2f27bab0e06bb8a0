"""The pipeline's stages. Run as `python -m stages.<name>` from the project's root.

The package beside this folder is put first on the path: an experiment in a temporary copy must
run the copy's code, and an installed package would be the checkout's.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

if find_spec("typer") is None:
    print(
        f"error: {sys.executable} lacks the project's packages; run `make setup`, "
        "then `. .venv/bin/activate`",
        file=sys.stderr,
    )
    sys.exit(2)
