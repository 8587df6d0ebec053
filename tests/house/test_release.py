import re
import tomllib

import pytest

import stillbit
from tests.house.source import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE)
    assert citation is not None
    assert PROJECT["version"] == stillbit.__version__ == citation[1]


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == "[Unreleased]"


def test_every_released_version_has_its_date() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    undated = [line for line in headings[1:] if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line)]
    assert not undated


@pytest.mark.parametrize("text", ["Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"])
def test_the_license_is_the_one_the_package_names(text: str) -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert text in (ROOT / "LICENSE").read_text()


def test_nothing_is_required_beyond_the_eight_packages_of_the_house() -> None:
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["dependencies"]}
    assert names == {"torch", "torchvision", "timm", "numpy", "safetensors", "tyro", "rich", "jaxtyping"}
