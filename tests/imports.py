"""What a module of the project imports, read off its text."""

import ast
from functools import cache
from pathlib import Path

from tools.workspace import ROOT

PACKAGE = "breast_ultrasound"


@cache
def direct_imports(path: Path) -> frozenset[Path]:
    """Return the package's modules that `path` imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            module = ROOT / "src" / (name.replace(".", "/") + ".py")
            if name.startswith(PACKAGE) and module.is_file():
                found.add(module)
    return frozenset(found)


def all_imports(path: Path) -> set[Path]:
    """Return the package's modules that `path` imports, directly or not."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        for module in direct_imports(waiting.pop()) - seen:
            seen.add(module)
            waiting.append(module)
    return seen
