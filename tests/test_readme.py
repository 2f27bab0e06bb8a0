"""What the README says is so."""

import re

import pytest

from tools.tables import (
    aim_rows,
    band_rows,
    leakage_rows,
    metrics,
    part_rows,
    rows,
    threshold_rows,
)
from tools.workspace import ROOT

README = (ROOT / "README.md").read_text()


def test_the_results_are_the_committed_ones() -> None:
    """`python -m tools.tables` prints the rows to paste."""
    for row in rows():
        assert row in README


def test_the_scores_beside_the_aims_are_the_committed_ones() -> None:
    for row in aim_rows():
        assert row in README


def test_the_effects_of_near_duplicates_are_the_committed_ones() -> None:
    text = (ROOT / "docs" / "leakage.md").read_text()
    for row in [*band_rows(), *threshold_rows(), *part_rows(), *leakage_rows()]:
        assert row in text


def test_the_counts_of_near_duplicates_are_the_committed_ones() -> None:
    duplicates = metrics("data")["near_duplicates"]
    found = re.search(r"(\d+) of (\d+) official test images have a near-duplicate", README)
    assert found
    assert int(found[1]) == duplicates["leaked_test_images"]
    assert int(found[2]) == metrics("data")["images"]["test"]


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
