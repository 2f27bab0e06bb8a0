"""Whether README.md and docs/leakage.md state the metrics that are committed, or staged, with them.

All is read from git's index: what lies in the workspace, as after `make repro` on another kind of
CPU, is no business of the documents.
"""

import subprocess
import sys

from tools.tables import expected_lines
from tools.workspace import ROOT


def read_index(path: str) -> str:
    """Return the text of a file as it is in git's index."""
    command = ["git", "show", f":./{path}"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()


def main() -> int:
    """Print each line that a document lacks."""
    try:
        missing = [
            f"{document}: expected {line!r}"
            for document, lines in expected_lines(read_index).items()
            for line in lines
            if line not in read_index(document)
        ]
    except subprocess.CalledProcessError as error:
        print(f"error: git's index: {error.stderr.decode().strip()}", file=sys.stderr)
        return 2
    if missing:
        print("\n".join(missing), file=sys.stderr)
        print(
            "error: these lines are not in the documents, or metrics are not staged with them; "
            "`python -m tools.tables` prints those of the workspace",
            file=sys.stderr,
        )
        return 2
    print("README.md and docs/leakage.md state the metrics in git's index")
    return 0


if __name__ == "__main__":
    sys.exit(main())
