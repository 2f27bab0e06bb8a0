"""Ship the final model: models/release holds it and its card, in git.

python -m tools.release             (`make release`)
python -m tools.release --check     (in `make check`)
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import yaml

from tools import check_lock
from tools.check_docs import read_index
from tools.model_card import card
from tools.tables import Read, read_workspace
from tools.workspace import ROOT

FINAL, RELEASE, CARD = ROOT / "models/final", ROOT / "models/release", "README.md"


def main(arguments: list[str]) -> int:
    """Copy models/final, unless a pipeline or study is out of date, and write its card."""
    if arguments == ["--check"]:
        return check()
    if code := check_lock.main():
        return code
    if not FINAL.is_dir() or folder_hash(FINAL) != locked_hash():
        return _refuse("models/final is not that of dvc.lock: run `make repro`")
    shutil.rmtree(RELEASE, ignore_errors=True)
    shutil.copytree(FINAL, RELEASE)
    (RELEASE / CARD).write_text(_card(read_workspace), encoding="utf-8")
    print(f"models/release: {sum(f.stat().st_size for f in RELEASE.iterdir()) / 1e6:.1f} MB")
    return 0


def check() -> int:
    """Whether the shipped model is that of dvc.lock, and its card of the metrics in git's index."""
    if not RELEASE.is_dir() or folder_hash(RELEASE) != locked_hash():
        return _refuse("models/release is not the final model of dvc.lock: run `make release`")
    if (RELEASE / CARD).read_text(encoding="utf-8") != _card(read_index):
        return _refuse("models/release/README.md is not of the committed metrics: `make release`")
    print("models/release is the final model of dvc.lock, its card of the committed metrics")
    return 0


def _refuse(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 2


def _card(read: Read) -> str:
    return card(read, json.loads((RELEASE / "model.json").read_text(encoding="utf-8")))


def locked_hash() -> str:
    """Return what dvc.lock says of models/final."""
    outs = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]["train_final"]["outs"]
    return str(next(out["md5"] for out in outs if out["path"] == "models/final"))


def folder_hash(folder: Path) -> str:
    """Return DVC's hash of a folder, but for the card for people."""
    entries = [
        {"md5": _md5(path.read_bytes()), "relpath": path.name}
        for path in sorted(folder.iterdir())
        if path.name != CARD
    ]
    return f"{_md5(json.dumps(entries, sort_keys=True).encode())}.dir"


def _md5(content: bytes) -> str:
    """Return DVC's hash of a file: it tells versions apart and protects nothing."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
