"""Packed files are unpacked in pieces, and no further than a bound: a few kilobytes may hold more than there is memory."""

import gzip
import importlib.util
import json
import lzma

import pytest

from pytest_af3mem.errors import InputError
from pytest_af3mem.inputs.chains import Protein
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.inputs.reading import read
from pytest_af3mem.storage import document

A3M = ">q\nMKTAN\n"


def _zstd(data):
    import zstandard

    return zstandard.compress(data)


PACKERS = [
    pytest.param(gzip.compress, id="gzip"),
    pytest.param(lzma.compress, id="xz"),
    pytest.param(_zstd, id="zstd", marks=pytest.mark.skipif(not importlib.util.find_spec("zstandard"), reason="needs zstandard")),
]


def job(folder, packed):
    text = json.loads(Job("x", (Protein(("A",), "MKTAN"),)).to_json())
    text["sequences"][0]["protein"] |= {"unpairedMsa": None, "unpairedMsaPath": "msa"}
    (folder / "msa").write_bytes(packed)
    (folder / "job.json").write_text(json.dumps(text))
    return folder / "job.json"


@pytest.mark.parametrize("pack", PACKERS)
def test_what_unpacks_to_more_than_the_bound_is_refused(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(document, "MAX_UNPACKED_BYTES", 2**22)
    path = job(tmp_path, pack(A3M.encode() + b"\n" * 2**26))
    with pytest.raises(InputError) as caught:
        read(path)
    rule = "unpacks to more than 0.00390625 GiB, the most that is read"
    assert str(caught.value) == f"sequences[0].protein.unpairedMsaPath: 'msa' {rule}"


@pytest.mark.parametrize("pack", PACKERS)
def test_what_unpacks_to_several_pieces_is_read_whole(tmp_path, pack):
    text = A3M + "\n" * (3 * 2**20)
    (found,) = read(job(tmp_path, pack(text.encode())))
    assert found.sequences[0].unpaired_msa == text


@pytest.mark.parametrize("pack", PACKERS)
def test_line_ends_of_packed_files_are_those_of_text_files(tmp_path, pack):
    (found,) = read(job(tmp_path, pack(A3M.replace("\n", "\r").encode())))
    assert found.sequences[0].unpaired_msa == A3M


def test_the_bound():
    assert document.MAX_UNPACKED_BYTES == 2**30


@pytest.mark.parametrize("pack", PACKERS)
def test_what_is_damaged_cannot_be_unpacked(tmp_path, pack):
    packed = bytearray(pack(A3M.encode()))
    packed[8:] = b"\xff" * (len(packed) - 8)
    with pytest.raises(InputError, match="'msa' cannot be unpacked"):
        read(job(tmp_path, bytes(packed)))
