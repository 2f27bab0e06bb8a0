"""Calling stages as the pipelines do, and which parameters each reads."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

import breast_ultrasound.params
from breast_ultrasound.params import Section
from tools.workspace import PIPELINES, dvc_stages, stage_command

STAGES, STUDIES = (dvc_stages(pipeline) for pipeline in PIPELINES)
BOTH = STAGES | STUDIES
# Sections that a pipeline names leaf by leaf.
PARTLY = {
    name.partition(".")[0]
    for stage in BOTH.values()
    for name in stage.get("params", [])
    if "." in name
}


def call(stage: str, *more: str) -> Result:
    module, arguments = stage_command(stage)
    return CliRunner().invoke(importlib.import_module(module).app, [*arguments, *more])


def outputs(stage: str) -> list[str]:
    entries = [*BOTH[stage].get("outs", []), *BOTH[stage].get("metrics", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


class Noting:
    """Parameters in place of a section, that note each name asked of them.

    A section of `PARTLY` is noted leaf by leaf, another as a whole, which whoever has it may read.
    """

    def __init__(self, section: Section, prefix: str, note: Callable[[str], None]) -> None:
        self._section, self._prefix, self._note = section, prefix, note

    def __getattr__(self, name: str) -> Any:
        if name not in type(self._section).model_fields:
            raise AttributeError(f"{self._prefix}{name}: no parameter; name the whole section")
        value = getattr(self._section, name)
        if name in PARTLY and isinstance(value, Section):
            return Noting(value, f"{name}.", self._note)
        self._note(self._prefix + name)
        return value


class Reads:
    """Which parameters each stage reads, as a pipeline would name them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seen: dict[str, set[str]] = {name: set() for name in BOTH}
        self.stage = ""
        real = breast_ultrasound.params.load_params

        def load(path: Path) -> Noting:
            return Noting(real(path), "", self.seen[self.stage].add)

        patch.setattr(breast_ultrasound.params, "load_params", load)
