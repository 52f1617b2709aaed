"""The model of docs/models.md, found by where it is and by an entry point."""

import json
import re
from pathlib import Path

import pytest

from pytest_af3mem import commands
from pytest_af3mem.models.registry import ENTRY_POINTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.fixture(scope="module")
def example():
    (found,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return found


@pytest.fixture
def installed(tmp_path, example):
    """A folder with the example, which an entry point names."""
    (tmp_path / "pairnet.py").write_text(example)
    metadata = tmp_path / "pairnet-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pairnet\nVersion: 1.0\n")
    (line,) = re.findall(r"^    (pairnet = .*)$", DOCUMENT.read_text(), re.MULTILINE)
    (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{line}\n".replace('"', ""))
    return tmp_path


def test_it_is_short(example):
    assert sum(bool(line.strip()) for line in example.splitlines()) < 40


@pytest.mark.parametrize("name", ["pairnet:PairNet", "pairnet"])
def test_it_is_measured(installed, af3mem, name):
    status, output, _ = af3mem("measure", "--tokens", "300", "--set", "channels=16", "--json", "-", model=name, path=installed)
    assert status == commands.OK
    (row,) = json.loads(output)["measurements"]
    assert (row["bucket"], row["model"]["name"], row["model"]["config"]) == (512, "pairnet", {"channels": 16})
    assert row["argument_bytes"] == 4 * (32 * 16 + 16 * 16 + 512)
    assert row["output_bytes"] == 4 * 512 * 16
    assert row["temp_bytes"] >= 4 * 512 * 512 * 16  # the pairs


def test_another_name_is_refused(installed, af3mem):
    status, _, errors = af3mem("measure", "--tokens", "300", model="pairnets", path=installed)
    assert status == commands.USAGE
    assert "unknown model 'pairnets'; did you mean pairnet" in errors
