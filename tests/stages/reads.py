"""Calling stages as dvc.yaml does, and which parameters each reads."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

import breast_ultrasound.params
from breast_ultrasound.params import Params, Section
from tools.workspace import dvc_stages, stage_command

STAGES = dvc_stages()


def call(stage: str, *more: str) -> Result:
    module, arguments = stage_command(stage)
    return CliRunner().invoke(importlib.import_module(module).app, [*arguments, *more])


def outputs(stage: str) -> list[str]:
    entries = [*STAGES[stage].get("outs", []), *STAGES[stage].get("metrics", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


class Reads:
    """Which leaves of params.yaml a stage reads, by attribute or by dumping a section."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seen: dict[str, set[str]] = {name: set() for name in STAGES}
        self.stage = ""
        self.prefixes: dict[int, str] = {}
        self.kept: list[Section] = []  # an id is of one object as long as that lives
        real_load, real_get = breast_ultrasound.params.load_params, Section.__getattribute__
        real_dump, real_copy = Section.model_dump, Section.model_copy

        def load(path: Path) -> Params:
            params = real_load(path)
            self._register(params, "")
            for name, value in vars(params).items():
                if isinstance(value, Section):
                    self._register(value, f"{name}.")
            return params

        def get(section: Section, name: str) -> Any:
            value = real_get(section, name)
            if not name.startswith("_") and name in type(section).__pydantic_fields__:
                self._note(section, name, value)
            return value

        def dump(section: Section, **options: Any) -> dict[str, Any]:
            self._note_all(section, options.get("exclude", set()))
            return real_dump(section, **options)

        def copy(section: Section, **options: Any) -> Section:
            duplicate = real_copy(section, **options)
            if id(section) in self.prefixes:
                self._register(duplicate, self.prefixes[id(section)])
            return duplicate

        patch.setattr(breast_ultrasound.params, "load_params", load)
        patch.setattr(Section, "__getattribute__", get)
        patch.setattr(Section, "model_dump", dump)
        patch.setattr(Section, "model_copy", copy)

    def _register(self, section: Section, prefix: str) -> None:
        self.kept.append(section)
        self.prefixes[id(section)] = prefix

    def _note(self, section: Section, name: str, value: Any) -> None:
        prefix = self.prefixes.get(id(section))
        if prefix is not None and not isinstance(value, Section):
            self.seen[self.stage].add(prefix + name)

    def _note_all(self, section: Section, excluded: set[str]) -> None:
        for name, value in vars(section).items():
            if isinstance(value, Section):
                self._note_all(value, set())
            elif name not in excluded:
                self._note(section, name, value)
