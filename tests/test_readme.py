"""What the README names exists; what it states of metrics, `make check` holds to git's index."""

import re

import pytest

from tools.workspace import ROOT

README = (ROOT / "README.md").read_text()


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_every_target_named_exists() -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M)
    named = re.findall(r"(?:`|^    )make ([a-z-]+)", README, re.M)
    assert {"repro", "test"} <= set(named) <= set(targets)


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_parameter_named_exists() -> None:
    text = (ROOT / "params.yaml").read_text()
    for names in re.findall(r"-S '?([\w.]+)=", README):
        for key in names.split("."):
            assert re.search(rf"^ *{key}:", text, re.M), names
