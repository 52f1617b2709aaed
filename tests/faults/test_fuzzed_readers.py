"""Whatever is given to a reader, it answers in time with a value or an error of this project: of valid examples cut, turned and
mixed, of JSON with other values in its places, and of bytes and texts at random.

Some tens of cases each; with `AF3MEM_FUZZ_CASES=10000`, which `tox -e faults` sets, so many.
"""

import contextlib
import copy
import importlib.util
import io
import itertools
import json
import os
import resource
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mmcif_texts import ATOMS, BONDS, a_component

from pytest_af3mem import gpus
from pytest_af3mem.commands import arguments
from pytest_af3mem.errors import Af3memError
from pytest_af3mem.gpus import described
from pytest_af3mem.gpus.size import Size, read_tolerance
from pytest_af3mem.inputs import reading, synthesis, tokens
from pytest_af3mem.inputs.generate import generate
from pytest_af3mem.models.model import Forward
from pytest_af3mem.planning.explain import read as read_log
from pytest_af3mem.planning.log_facts import WORDS
from pytest_af3mem.planning.log_lines import lines
from pytest_af3mem.records import flags
from pytest_af3mem.records.baseline import Baseline, Entry
from pytest_af3mem.records.calibration import Calibration
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Holder, Kernels, Peak
from pytest_af3mem.records.request import Installation, Request, freeze
from pytest_af3mem.reports import explain as explained
from pytest_af3mem.reports import json as report
from pytest_af3mem.session.reproduce import setting
from pytest_af3mem.session.settings import OPTIONS, Settings
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.cache import Cache
from pytest_af3mem.worker import protocol
from pytest_af3mem.worker.xla import executable, limits, program, same_program
from pytest_af3mem.worker.xla.attribution import Attribution
from pytest_af3mem.worker.xla.program import Compiled
from pytest_af3mem.worker.xla.same_program import Listing
from pytest_af3mem.worker.xla.tracing import translated

CASES = int(os.environ.get("AF3MEM_FUZZ_CASES", "40"))
SECONDS = 5  # of the processor, for one input
FORWARD = Forward(init=lambda *_: {}, apply=lambda *_: {})
GPU = gpus.find("h100-80gb")

fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=CASES < 1000,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


class TooLong(BaseException):
    """An input took more than its time. Nobody who takes errors takes this one."""


@contextlib.contextmanager
def in_time():
    def stop(*_):
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def answers(read, *given):
    """What a reader makes of this: a value, or None where it refuses it with an error of ours."""
    with in_time(), contextlib.suppress(Af3memError):
        return read(*given)
    return None


# What readers have been seen to stumble over.
STRANGE = [
    *(b"\0", b"\x00\x00\x00\x00", b"\xff" * 10, b"\x80" * 12, b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\x1b[31m"),
    *(b"1e999999999", b"-1e999999999", b"0.1e-999999999", b"NaN", b"-Infinity", b"1" * 25, b"-0", b"9" * 5000),
    b"0x" + b"f" * 5000,
    *(b"[" * 2000, b"{" * 50, b'{"a":' * 2000, b"(" * 300, b"]", b"}", b"null", b"true", b'""', b'"\\ud800"', b'"\\u0000"'),
    *(b"#" * 60, b"\n@", b"::error::", b"<<<<<<<", b"data_", b"loop_\n", b";", b"'", b">", b"--", b"=", b",", b"%", b"*" * 40),
    *("\u0663".encode(), "\u00b2".encode(), "\u2028".encode(), "\ufeff".encode()),
]
NUMBERS = [0, 1, -1, 7, 2**31, 2**32, 2**63 - 1, 2**63, 10**400, -(10**400), 0.5, -0.0, 1e308, 1e999, -1e999]
TEXTS = ["", "0", "-", "\0", "\ud800", "::error::", "A" * 5000, "1e999999999", "9" * 5000, "\u0663", "../x", "h100-80gb"]


DEEP = "<so many brackets>"
VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.integers() | st.sampled_from(TEXTS) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TEXTS) | st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
) | st.just(DEEP)


@st.composite
def bytes_like(draw, examples):
    """One of the examples, cut, turned, doubled, and mixed with others; or bytes at random."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(examples))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + draw(st.sampled_from([1, 8, 64, 10**9])))))
        other = draw(st.sampled_from(examples))
        at = draw(st.integers(0, len(other)))
        inserted = draw(
            st.sampled_from(
                [b"", data[start:end] * 2, other[at : at + 64], other[at:], bytes(255 - one for one in data[start:end])]
            )
            | st.sampled_from(STRANGE)
            | st.binary(min_size=1, max_size=4)
        )
        data = draw(st.sampled_from([data[:start] + inserted + data[end:], data[:start] + inserted, inserted + data[start:]]))
    return data


def texts_like(examples):
    return bytes_like([one.encode() for one in examples]).map(lambda data: data.decode(errors="surrogateescape"))


def places(value, path=()):
    """The path of each part of a document."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@st.composite
def documents_like(draw, examples):
    """The text of one of the examples with other values in some of its places, new keys, or without some that it had."""
    document = copy.deepcopy(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(1, 3))):
        known = [path for path in places(document) if path]
        if not known:
            break
        *outer, last = draw(st.sampled_from(known))
        holder = at(document, outer)
        what = draw(st.sampled_from(["value", "value", "part", "key", "none"]))
        if what == "none":
            del holder[last]
        elif what == "part":
            holder[last] = copy.deepcopy(at(document, draw(st.sampled_from(known))))
        else:
            new = draw(st.sampled_from(TEXTS) | st.text(max_size=5)) if what == "key" and isinstance(holder, dict) else last
            holder[new] = draw(VALUES)
    levels = draw(st.sampled_from([10, 99, 101, 900, 3000]))
    return as_text(document).replace(f'"{DEEP}"', "[" * levels + "]" * levels)


def at(document, path):
    for key in path:
        document = document[key]
    return document


def as_text(document):
    return json.dumps(document)


def of_json(read):
    """A reader of parsed JSON as one of text; what Python cannot parse gets to none of them, nor what is no object."""

    def reader(text):
        with contextlib.suppress(RecursionError):
            document = json.loads(text)
            if isinstance(document, dict):
                return read(document)
        return None

    return reader


# Examples of what is read, and the readers.

JOB = json.loads(generate(40, kinds="protein+rna+dna", chains=3, msa_depth=2, templates=1).to_json())
PROTEIN = JOB["sequences"][0]["protein"]
PROTEIN["modifications"] = [{"ptmType": "SEP", "ptmPosition": 2}]
PROTEIN["unpairedMsa"] = f">x\n{PROTEIN['sequence'][0]}S{PROTEIN['sequence'][2:]}\n"
JOB["sequences"].append({"ligand": {"id": ["Y", "Z"], "ccdCodes": ["ATP", "MG"]}})
JOB["bondedAtomPairs"] = [[["Y", 1, "PG"], ["Z", 2, "MG"]]]
SERVER = [
    {
        "name": "x",
        "modelSeeds": [],
        "sequences": [
            {"proteinChain": {"sequence": "MKTANIAGSS", "count": 2, "modifications": [{"ptmType": "CCD_SEP", "ptmPosition": 3}]}},
            {"ion": {"ion": "MG", "count": 1}},
        ],
    }
]
COMPONENT = a_component(ATOMS[:2], BONDS[:1], name="'of mine'")
TEMPLATE = synthesis.template("GAST").mmcif
HIT = {"mmcif": TEMPLATE, "queryIndices": [0, 1], "templateIndices": [0, 1]}
A3M = "#62\t1\n>query\nMKTANIA\n>hit\nMKaT-NIA\n"
LOGS = [path.read_bytes() for path in sorted(Path(__file__).parents[2].joinpath("fixtures", "logs").glob("*.txt"))]


def hand_made(path):
    """The module of tests that has examples of executables."""
    spec = importlib.util.spec_from_file_location("fuzzed_examples", Path(__file__).parents[1] / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_protein(**fields):
    protein = {"id": "A", "sequence": "MKTANIA", "unpairedMsa": "", "pairedMsa": "", "templates": [], **fields}
    return as_text({**JOB, "sequences": [{"protein": protein}], "bondedAtomPairs": []})


def read_job(text, components=None, *, strict=False):
    for job in reading.from_json(text, components=components, strict=strict):
        job.to_json()
        with contextlib.suppress(Af3memError):
            tokens.count(job, components)


def read_baseline(text):
    found = Baseline.parse(text)
    assert Baseline.parse(found.render()) == found
    return found.updated(found.entries).by_key


def read_plan(data):
    return program.of_plan(data, FORWARD, ("/a",))


def read_executable(data):
    """As a worker reads it, where anything that goes wrong is not judged."""
    for read in (executable.read, lambda data: limits.launch(data, GPU), executable.instructions):
        with contextlib.suppress(Af3memError), translated("cannot be read"):
            read(data)


def read_explanation(data):
    found = [("x", read_log(lines(io.BytesIO(data), WORDS)))]
    return explained.render_text(found), explained.render_json(found, [])


def read_reply(data):
    reply = protocol.read(data, 1)
    return str(protocol.error(reply)) if "error" in reply else protocol.check("measure", reply.get("value"))


def read_calibration(data):
    return str(Calibration.from_json(typed.parse(data)))


SIZES = ["16 GiB", "95 %", "17179869184", "0.5 %", "64MiB", "0", "1.5 TB"]
SETTINGS = ["num_samples=5", "a.b=(1, 'x', None)", "attention=xla", "over=[1,2],3", "flag=true", "x={1: 2}", "y=0x10", "z=b'1'"]
FLAGS = ["container", "default", "--xla_gpu_enable_triton_gemm=false --xla_gpu_autotune_level=0", "'--xla_x=a b'"]
OPTION_TEXTS = [
    "256,512,1024",
    "h100-80gb",
    "a100*,l4-24gb",
    "auto",
    "900",
    "true",
    "reports/x.json",
    "~x",
    "python3",
    *SIZES,
    *FLAGS,
]


def read_sizes(text):
    for read in (Size.parse, lambda text: read_tolerance(text, "--af3-tolerance")):
        with contextlib.suppress(Af3memError):
            str(read(text)), read(text).of(80 * 2**30)


def read_setting(text):
    for read in (
        lambda text: freeze(dict([setting(text)])),
        lambda text: arguments.axis(text),
        lambda text: flags.read(text, "x"),
    ):
        with contextlib.suppress(Af3memError):
            typed.render(read(text))


def read_cached(folder, kind, read):
    """Of an entry whose checksum is right, so that its value is read, too."""
    cache = Cache(folder)

    def reader(value):
        cache.put(kind, {}, value)
        return cache.get(kind, {}, read)

    return of_json(reader)


def read_damaged(folder):
    cache = Cache(folder)
    cache.put("peaks", {}, 5)
    path = cache._path("peaks", {})
    valid = path.read_bytes()

    def reader(data):
        path.write_bytes(data)
        assert cache.get("peaks", {}) in (None, 5)
        assert len(cache.problems) < 2
        cache.problems.clear()

    return reader, [valid]


def same_program_of(value):
    """What a worker makes of a stored program, of sources that have one line."""
    return same_program.found(same_program.read(value), Listing("digest", (("modules.py", 121),)))


MADE = hand_made("unit/test_executable.py")
PLAN = MADE.message((1, MADE.MODULE), (3, MADE.ASSIGNMENT))
EXECUTABLES = [
    PLAN,
    MADE.EXECUTABLE,
    MADE.HEADER + MADE.message((1, MADE.SPLIT), (2, "options")),
    MADE.MODULE,
]
TARGETS = [GPU.target_config(), "# of mine\n" + GPU.target_config().replace("{", "<").replace("}", ">")]

BYTES = {
    "explain": (read_explanation, LOGS),
    "plan": (read_plan, [PLAN]),
    "executable": (read_executable, EXECUTABLES),
    "reply": (
        read_reply,
        [b'{"number": 1, "value": {"peak": 5}}', b'{"number": 1, "error": "NotJudged", "text": "x", "fields": {}}'],
    ),
}
TEXT = {
    "baseline": (read_baseline, ['{"schema": 1, "measurements": []}']),
    "ccd": (lambda text: read_job(as_text({**JOB, "userCCD": text})), [COMPONENT]),
    "flags": (lambda text: flags.read(text, "--af3-flags"), FLAGS),
    "job": (read_job, [as_text(JOB), as_text(SERVER)]),
    "msa": (lambda text: read_job(with_protein(unpairedMsa=text)), [A3M]),
    "setting": (read_setting, SETTINGS),
    "size": (read_sizes, SIZES),
    "smiles": (
        lambda text: read_job(as_text({**JOB, "sequences": [{"ligand": {"id": "A", "smiles": text}}]})),
        ["CC(=O)O[C@H](C)N"],
    ),
    "target": (lambda text: described.parse(text, "mine", "mine.txtpb"), TARGETS),
    "targets": (gpus.select, ["h100-80gb,l4-24gb", "a100*", "all", "x.txtpb"]),
    "template": (lambda text: read_job(with_protein(templates=[{**HIT, "mmcif": text}])), [TEMPLATE]),
}


@pytest.fixture
def documents(a_peak, a_run, a_measurement, a_request, an_installation, components, tmp_path):
    """Readers of parsed JSON, and documents that they take."""
    holder = Holder("diffuser/evoformer", "temporary", 5, "bf16[8]", "modules.py:121")
    peak = a_peak(holders=(holder,), high_water={"diffuser": 5})
    entry = Entry.of("t.py::test_fits", peak, {"num_samples": 5})
    rows = [a_measurement(peak=peak, baseline=entry).to_json(), a_measurement(peak=a_run()).to_json()]
    stored = same_program.stored(Compiled(5, 5, 5, 5, 5, Kernels(1), Attribution((holder,))), Listing("", (("modules.py", 121),)))
    point = dict.fromkeys(("compiled_bytes", "program_bytes", "allocator_bytes", "steady_peak_bytes", "pool_bytes"), 2**30)
    record = {"schema": 1, "target": "l4-24gb", "device": "L4", "driver": "5", "date": "2026-11-24", "model": "m", "software": {}}
    record["sizes"] = [{"tokens": 5, "bucket": 256, "process_bytes": None, **point}]
    baseline = json.loads(Baseline((entry,)).render())
    settings = a_request(settings=(("num_samples", 5), ("x", (1, "y"))))
    return {
        "baseline": (read_baseline, [baseline]),
        "cached peak": (read_cached(tmp_path, "peaks", Peak.from_json), [peak.to_json()]),
        "cached program": (read_cached(tmp_path, "programs", same_program_of), [stored]),
        "calibration": (read_calibration, [record]),
        "installation": (of_json(lambda document: Installation.from_json(document).identity), [vars(an_installation())]),
        "job": (lambda text: read_job(text, components), [JOB, SERVER, JOB | {"userCCD": COMPONENT}]),
        "measurement": (of_json(lambda document: report.render([Measurement.from_json(document)])), rows),
        "request": (of_json(lambda document: Request.from_json(document).identity), [settings.to_json()]),
    }


@pytest.mark.parametrize("name", BYTES)
@fuzzed
@given(data=st.data())
def test_bytes(name, data):
    read, examples = BYTES[name]
    answers(read, data.draw(bytes_like(examples)))


def test_bytes_of_a_cache_entry(tmp_path):
    read, examples = read_damaged(tmp_path)
    fuzzed(given(bytes_like(examples))(lambda data: answers(read, data)))()


@pytest.mark.parametrize("name", TEXT)
@fuzzed
@given(data=st.data())
def test_texts(name, data):
    read, examples = TEXT[name]
    answers(read, data.draw(texts_like(examples)))


DOCUMENTS = ["baseline", "cached peak", "cached program", "calibration", "installation", "job", "measurement", "request"]


@pytest.mark.parametrize("name", DOCUMENTS)
@fuzzed
@given(data=st.data())
def test_documents(name, documents, data):
    read, examples = documents[name]
    answers(read, data.draw(documents_like(json.loads(as_text(examples)))))


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_options(option, tmp_path, monkeypatch):
    """On the command line, in the environment and in the ini file; without separators, so that nothing is made elsewhere."""
    monkeypatch.chdir(tmp_path)

    def read(text):
        Settings.read({}, {option.name: text.replace("/", "_")})

    fuzzed(given(texts_like(OPTION_TEXTS))(lambda text: answers(read, text)))()


def many(text, count, joint=","):
    return joint.join(text.format(number) for number in range(count))


def bonded(count):
    """A chain with a bond of each residue to the next, and its residues modified where a component of the user may stand."""
    protein = {"id": "A", "sequence": "M" * count, "unpairedMsa": "", "pairedMsa": "", "templates": []}
    bonds = [[["A", position, "CA"], ["A", position + 1, "CA"]] for position in range(1, count)]
    return as_text({**JOB, "sequences": [{"protein": protein}], "bondedAtomPairs": bonds})


def modified(count):
    changes = [{"ptmType": "SEP", "ptmPosition": position} for position in range(1, count)]
    protein = {"id": "A", "sequence": "M" * count, "modifications": changes, "unpairedMsa": "", "pairedMsa": "", "templates": []}
    return as_text({**JOB, "sequences": [{"protein": protein}], "bondedAtomPairs": [], "userCCD": COMPONENT})


def copies(count):
    names = ("".join(letters) for letters in itertools.product("ABCDEFGHIJKLMNOPQRSTUVWXYZ", repeat=4))
    ligands = [{"ligand": {"id": name, "smiles": "C"}} for name in itertools.islice(names, count)]
    return as_text({**JOB, "sequences": ligands, "bondedAtomPairs": []})


LARGE = {
    "brackets": (read_job, lambda: "[" * 2_000_000),
    "objects": (read_job, lambda: '{"a":' * 500_000),
    "digits": (read_job, lambda: "9" * 2_000_000),
    "a number beyond all": (read_job, lambda: '{"modelSeeds": [1e999999999]}'),
    "a key that is there twice": (read_job, lambda: "{" + many('"k{}": 1', 100_000) + ', "k99999": 1}'),
    "zeros in a text": (read_job, lambda: '"' + "\\u0000" * 300_000 + '"'),
    "half characters": (read_job, lambda: '"' + "\\ud800" * 300_000 + '"'),
    "bonds": (read_job, lambda: bonded(20_000)),
    "modifications": (read_job, lambda: modified(20_000)),
    "chains": (read_job, lambda: copies(20_000)),
    "rows of an MSA": (lambda text: read_job(with_protein(unpairedMsa=text)), lambda: ">x\nMKTANIA\n" * 100_000),
    "insertions of an MSA": (lambda text: read_job(with_protein(unpairedMsa=text)), lambda: f">x\nMKTANIA{'a' * 2_000_000}\n"),
    "spaces of a template": (lambda text: read_job(with_protein(templates=[{**HIT, "mmcif": text}])), lambda: " " * 2_000_000),
    "columns of a template": (
        lambda text: read_job(with_protein(templates=[{**HIT, "mmcif": text}])),
        lambda: f"data_x\nloop_\n{many('_a.b{}', 50_000, ' ')}\n{many('{}', 50_000, ' ')}\n",
    ),
    "blocks of components": (lambda text: read_job(as_text({**JOB, "userCCD": text})), lambda: "data_x " * 200_000),
    "a baseline of brackets": (read_baseline, lambda: '{"schema": 1, "measurements": [' + '{"config": ' * 300_000),
    "a reply of brackets": (read_reply, lambda: b'{"value": ' + b"[" * 2_000_000),
    "a log of one line": (read_explanation, lambda: b"RESOURCE_EXHAUSTED: Out of memory trying to allocate " * 40_000),
    "a log of what could be facts": (read_explanation, lambda: b"CUDA_ERROR_OUT_OF_MEMORY shared memory Could not find" * 40_000),
    "a log of half facts": (read_explanation, lambda: b"total allocation:" + b" " * 2_000_000 + b"1x"),
    "comments of a target": (TEXT["target"][0], lambda: "#" * 1_000_000 + "\n@"),
    "messages of a target": (TEXT["target"][0], lambda: "a {" * 300_000),
    "a number of a plan": (read_plan, lambda: b"\x0a" + b"\xff" * 2_000_000),
    "numbers of an executable": (read_executable, lambda: b"\xff" * 2_000_000),
    "a size": (read_sizes, lambda: "1" * 2_000_000 + " GiB"),
    "a size of fractions": (read_sizes, lambda: "1." + "1" * 2_000_000 + " %"),
    "a setting": (read_setting, lambda: "x=" + "(" * 100_000),
    "a sum as a setting": (read_setting, lambda: "x=" + "1+" * 50_000 + "1"),
    "a flag": (TEXT["flags"][0], lambda: "--xla_x=" + "9" * 2_000_000),
    "targets": (gpus.select, lambda: many("a{}*", 2_000)),
    "stars": (gpus.select, lambda: "*a" * 30 + "b"),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_inputs_take_little_time_and_memory(name):
    """Of a few MB at most: no more than a hundred times as much memory."""
    read, make = LARGE[name]
    given = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers(read, given)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 2**10  # KiB


def test_what_takes_too_long_is_noticed(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SECONDS", 0.01)
    with pytest.raises(TooLong):
        answers(lambda text: [*map(text.count, text)], "a" * 20_000)


@pytest.mark.parametrize("document", [JOB, SERVER, JOB | {"userCCD": COMPONENT}])
def test_the_examples_are_read(document, components):
    """Else nothing that is made of them would get far."""
    assert [job.notes for job in reading.from_json(as_text(document), components=components)] == [()]


def test_an_error_of_pythons_is_noticed():
    with pytest.raises(ZeroDivisionError):
        answers(lambda text: 1 / len(text), "")
