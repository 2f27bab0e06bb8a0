"""Whether the documents state the metrics that are committed, or staged, with them.

All is read from git's index: what lies in the workspace, as after `make repro` on another kind of
CPU, is no business of the documents.
"""

import subprocess
import sys

from tools.tables import DOCUMENTS, rendered
from tools.workspace import ROOT


def read_index(path: str) -> str:
    """Return the text of a file as it is in git's index."""
    command = ["git", "show", f":./{path}"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()


def main() -> int:
    """Name each document with a block of other metrics."""
    try:
        stale = [n for n in DOCUMENTS if rendered(read_index(n), read_index) != read_index(n)]
    except subprocess.CalledProcessError as error:
        print(f"error: git's index: {error.stderr.decode().strip()}", file=sys.stderr)
        return 2
    if stale:
        print(
            f"error: {', '.join(stale)}: not of the metrics in git's index; run `make docs`, then "
            "git add documents, metrics and plots together",
            file=sys.stderr,
        )
        return 2
    print("the documents state the metrics in git's index")
    return 0


if __name__ == "__main__":
    sys.exit(main())
