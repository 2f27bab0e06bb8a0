"""What a bad input is, and the list of them that the modules beside this one fill."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Arrays = dict[str, Any]
Prepare = Callable[[Path], list[str]]  # makes the input in a folder, returns arguments


@dataclass(frozen=True)
class Case:
    """A bad input: which command it goes to, what is wrong, and how to make it."""

    command: str
    wrong: str
    prepare: Prepare


CASES: list[Case] = []


def case(command: str, wrong: str) -> Callable[[Prepare], Prepare]:
    """Register a function that makes a bad input."""

    def register(prepare: Prepare) -> Prepare:
        CASES.append(Case(command, wrong, prepare))
        return prepare

    return register


def add(command: str, wrong: str, prepare: Prepare) -> None:
    """Register a bad input that a line makes."""
    CASES.append(Case(command, wrong, prepare))
