"""Plans that a cluster can run: each format is read back by a parser of its own, whatever files are called."""

import ast
import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning.job_folder import Place, Plan, Planned
from pytest_af3mem.reports import job_folder as report
from pytest_af3mem.reports.cluster_formats import FORMATS, sbatch
from pytest_af3mem.reports.cluster_site import Site

GIB = 2**30
TARGETS = tuple(map(gpus.find, ("l4-24gb", "a100-40gb", "h100-80gb")))
NAMES = [
    "a b.json",
    'it\'s "quoted".json',
    "$(touch hacked) $HOME.json",
    "-x.json",
    "back\\slash, comma; #hash: {brace}.json",
    "new\nline\ttab.json",
    "carriage\rreturn.json",
    "$$(OpSys).json",
    "é\u202e\U0001f9ec\u2028.json",
    "true",
]
ASKED = Site({"l4-24gb": "l4"}, {"l4-24gb": "small", "a100-40gb": "big"})


@pytest.fixture
def planned(a_peak):
    """A plan of files, each with the GiB that its jobs need (None: not judged) on every target."""

    def run(files, seeds=1, fraction="95 %"):
        jobs = [
            Planned(
                Place(Path(file), at, len(needs)),
                "name",
                1000 + at,
                1024,
                tuple(NotJudged("no reason") if one is None else a_peak(total_bytes=one * GIB) for _ in TARGETS),
                seeds,
            )
            for file, needs in files.items()
            for at, one in enumerate(needs)
        ]
        return Plan(TARGETS, Size.parse(fraction), tuple(jobs), ())

    return run


def small(names):
    """Files of one job each, which fits everywhere."""
    return {name: [1] for name in names}


def made(form, plan, site=ASKED):
    return FORMATS[form][1](plan, site)


def records(plan, site=ASKED):
    return {row["file"]: row for row in json.loads(made("json", plan, site))["runs"]}


def rows(plan, site=ASKED):
    return {row["file"]: row for row in csv.DictReader(io.StringIO(made("csv", plan, site), newline=""))}


def yaml_of(plan, site=ASKED):
    return pytest.importorskip("yaml").safe_load(made("snakemake", plan, site))["af3mem"]


def condor(plan, site=ASKED):
    """What `condor_submit` would make of a description: the commands that hold at each `queue`."""
    commands, found = {}, []
    for line in made("htcondor", plan, site).split("\n"):
        if line == "queue":
            found.append(dict(commands))
        elif line and line[0] != "#":
            name, equals, value = line.partition(" = ")
            assert equals
            assert "$" not in value.replace("$(DOLLAR)", "")
            commands[name] = value.replace("$(DOLLAR)", "$")
            assert not re.search(r"\$\$|\$\(DOLLAR\)", commands[name])  # HTCondor would look at these again
    for one in found:
        word = re.fullmatch(r"\"'(.*)'\"", one["arguments"])[1]
        assert not re.search(r"(?<!')'(?:'')*(?!')", word)
        one["file"] = word.replace("''", "'").replace('""', '"')
    return {one["file"]: one for one in found}


def groovy_text(literal):
    """What a string of Groovy means: its escapes are among those of Python, but for characters that are two of UTF-16."""
    return ast.literal_eval(literal).encode("utf-16", "surrogatepass").decode("utf-16")


def groovy(plan, site=ASKED):
    """The keys of the map of a Nextflow config, and what follows each."""
    lines = [line for line in made("nextflow", plan, site).splitlines() if line.startswith("    '")]
    found = [re.fullmatch(r"    ('(?:[^'\\]|\\.)*'): (\[.*\]),", line).groups() for line in lines]
    return {groovy_text(key): value for key, value in found}


def printed(*command, **how):
    """The texts, each ended by a zero, that a program prints."""
    return subprocess.run(command, capture_output=True, check=True, **how).stdout.decode().split("\0")[:-1]


def lsf(plan, folder, site=ASKED):
    """What `bsub` is given of each file, once a shell has run it with a script that says which file it was given."""
    (folder / "run_alphafold.sh").write_text('printf "%s\\0" "$1"')
    script = f"bsub() {{ cat > job; cat job; printf '\\0'; bash job; }}\n{made('lsf', plan, site)}"
    parts = printed("bash", "-c", script, cwd=folder)
    return dict(zip(parts[1::2], parts[::2], strict=True))


def test_every_format_reads_back_the_very_names(planned, tmp_path):
    plan = planned(small(NAMES))
    names = ["./-x.json" if name == "-x.json" else name for name in NAMES]
    readers = {"json": records, "csv": rows, "snakemake": yaml_of, "nextflow": groovy}
    for form, read in readers.items():
        assert list(read(plan)) == names, form
    assert list(lsf(plan, tmp_path)) == names
    assert not (tmp_path / "hacked").exists()
    words = [groovy_text(re.search(r"argument: ('(?:[^'\\]|\\.)*')", value)[1]) for value in groovy(plan).values()]
    assert printed("bash", "-c", f"printf '%s\\0' {' '.join(words)}") == names
    assert [shlex.split(line)[-1] for line in sbatch(planned({"a b.json": [1], "$x.json": [1]}), ASKED)] == [
        "a b.json",
        "$x.json",
    ]


def test_names_that_a_format_cannot_hold_are_left_out_and_named(planned):
    plan = planned(small([*NAMES, "bytes\udcff.json"]))
    held = [name for name in NAMES if not re.search(r"[\n\r]|\$\$", name)]
    assert list(condor(plan)) == ["./-x.json" if name == "-x.json" else name for name in held]
    assert list(rows(plan)) == list(groovy(plan)) == list(records(planned(small(NAMES))))
    assert list(yaml_of(plan))[-1] == list(records(plan))[-1] == "bytes\udcff.json"
    said = [line for line in report.problems(plan, ASKED, "htcondor") if line.startswith("no line for HTCondor: ")]
    assert len(said) == 4
    assert said[0] == (
        "no line for HTCondor: new\\nline\\ttab.json has characters in its name that the format cannot hold: rename it"
    )


@pytest.mark.parametrize("name", ["$$.json", "a$${b}.json", "$(DOLLAR).json", "$(dollar)HOME.json"])
def test_dollars_that_htcondor_would_replace_once_more_are_left_out(planned, name):
    plan = planned(small([name, "$(x) $HOME $ $.json"]))
    assert list(condor(plan)) == ["$(x) $HOME $ $.json"]
    assert report.problems(plan, ASKED, "htcondor") == [
        f"no line for HTCondor: {name} has characters in its name that the format cannot hold: rename it"
    ]


def test_more_files_than_groovy_compiles_are_said(planned):
    for files, said in ((300, []), (301, ["this one has 301: let the pipeline read --format csv"])):
        plan = planned(small([f"{index}.json" for index in range(files)]))
        assert [line.rpartition("and ")[2] for line in report.problems(plan, ASKED, "nextflow")] == said
        assert report.problems(plan, ASKED, "csv") == []


def test_htcondor_itself_reads_the_very_names(planned):
    submit = pytest.importorskip("htcondor2").Submit
    jobs = made("htcondor", planned(small(NAMES))).split("\nqueue\n")[:-1]
    found = [submit(f"{job}\nqueue\n").expand("arguments") for job in jobs]
    assert found == [one["arguments"] for one in condor(planned(small(NAMES))).values()]


def test_the_smallest_target_that_fits_is_asked_for(planned, tmp_path):
    plan = planned({"small.json": [1], "large.json": [30]})
    assert sbatch(plan, ASKED) == [
        "sbatch --gres=gpu:l4:1 --partition=small run_alphafold.sbatch small.json",
        "sbatch --gres=gpu:nvidia_a100-sxm4-40gb:1 --partition=big run_alphafold.sbatch large.json",
    ]
    row = rows(plan)["large.json"]
    assert row == {
        "file": "large.json",
        "jobs": "1",
        "tokens": "1000",
        "bucket": "1024",
        "seeds": "1",
        "samples": "5",
        "target": "a100-40gb",
        "gres": "gpu:nvidia_a100-sxm4-40gb:1",
        "partition": "big",
        "gpu_mib": "32337",
        "needs_bytes": str(30 * GIB),
        "unified": "0",
        "host_bytes": "",
        "mem_fraction": "0.95",
        "fallback": "",
    }
    assert int(row["gpu_mib"]) * 0.95 >= 30 * 1024 > (int(row["gpu_mib"]) - 1) * 0.95
    assert yaml_of(plan)["large.json"] == {
        "seeds": 1,
        "samples": 5,
        "unified": False,
        "environment": {"XLA_PYTHON_CLIENT_PREALLOCATE": "true", "XLA_CLIENT_MEM_FRACTION": "0.95"},
        "resources": {
            "gpu": 1,
            "target": "a100-40gb",
            "gres": "gpu:nvidia_a100-sxm4-40gb:1",
            "gpu_mib": 32337,
            "slurm_partition": "big",
            "bucket": 1024,
        },
    }
    assert lsf(plan, tmp_path)["large.json"].splitlines() == [
        "#!/bin/bash",
        '#BSUB -gpu "num=1:j_exclusive=yes:gmem=32337M"',
        '#BSUB -q "big"',
        "export XLA_PYTHON_CLIENT_PREALLOCATE=true",
        "export XLA_CLIENT_MEM_FRACTION=0.95",
        "exec bash run_alphafold.sh large.json",
    ]
    assert condor(plan)["large.json"] == {
        "executable": "run_alphafold.sh",
        "request_gpus": "1",
        "arguments": "\"'large.json'\"",
        "file": "large.json",
        "gpus_minimum_memory": "32337M",
        "require_gpus": '(DeviceName == "NVIDIA A100-SXM4-40GB")',
        "+Partition": '"big"',
        "environment": '"XLA_PYTHON_CLIENT_PREALLOCATE=true XLA_CLIENT_MEM_FRACTION=0.95"',
    }
    assert "options: ['--gres=gpu:nvidia_a100-sxm4-40gb:1 --partition=big']" in groovy(plan)["large.json"]
    assert "types: ['nvidia_a100-sxm4-40gb']" in groovy(plan)["large.json"]


def test_without_partitions_none_is_named(planned):
    plan = planned({"a.json": [1]})
    for form in ("snakemake", "nextflow", "htcondor", "lsf"):
        assert not re.search("partition|-q ", made(form, plan, Site()), re.IGNORECASE), form
    assert records(plan, Site())["a.json"]["partition"] is None
    assert rows(plan, Site())["a.json"]["partition"] == ""


CHAIN = Site({"l4-24gb": "l4"}, {"l4-24gb": "small", "a100-40gb": "big"}, fallback=True)


def test_a_chain_of_targets_from_the_smallest(planned, tmp_path):
    plan = planned({"a.json": [30], "b.json": [1]})
    chained = sbatch(plan, CHAIN)[0]
    assert [shlex.split(line)[1:-1] for line in chained.split(" || ")] == [
        ["--gres=gpu:nvidia_a100-sxm4-40gb:1", "--partition=big", "run_alphafold.sbatch"],
        ["--gres=gpu:nvidia_h100_80gb_hbm3:1", "run_alphafold.sbatch"],
    ]
    assert rows(plan, CHAIN)["b.json"]["fallback"] == "a100-40gb h100-80gb"
    assert [one["target"] for one in records(plan, CHAIN)["b.json"]["fallback"]] == ["a100-40gb", "h100-80gb"]
    assert yaml_of(plan, CHAIN)["b.json"]["fallback"][0] == {
        "target": "a100-40gb",
        "gres": "gpu:nvidia_a100-sxm4-40gb:1",
        "gpu_mib": 1078,
        "slurm_partition": "big",
    }
    assert '#BSUB -q "small big"' in lsf(plan, tmp_path, CHAIN)["b.json"]
    assert condor(plan, CHAIN)["a.json"]["require_gpus"] == (
        '(DeviceName == "NVIDIA A100-SXM4-40GB" || DeviceName == "NVIDIA H100 80GB HBM3")'
    )
    assert "types: ['nvidia_a100-sxm4-40gb', 'nvidia_h100_80gb_hbm3']" in groovy(plan, CHAIN)["a.json"]
    assert "maxRetries = 2" in made("nextflow", plan, CHAIN)
    assert "maxRetries" not in made("nextflow", plan)


@pytest.mark.parametrize(("gib", "target"), [(100, "h100-80gb"), (254, None)])
def test_what_fits_with_unified_memory_alone_is_marked(planned, tmp_path, gib, target):
    plan = planned({"big.json": [gib]})
    if target is None:  # more than 3.2 times the memory of the largest GPU
        assert records(plan) == rows(plan) == condor(plan) == {}
        assert yaml_of(plan) == {}
        assert sbatch(plan, CHAIN) == []
        return
    spilled = gib * GIB - plan.limit_bytes(gpus.find(target))
    row = records(plan)["big.json"]
    assert (row["target"], row["unified"], row["host_bytes"], row["mem_fraction"]) == (target, True, spilled, "3.2")
    assert (rows(plan)["big.json"]["unified"], rows(plan)["big.json"]["host_bytes"]) == ("1", str(spilled))
    assert yaml_of(plan)["big.json"]["unified"] is True
    assert yaml_of(plan)["big.json"]["resources"]["host_mib"] == -(-spilled // 2**20)
    told = "# h100-80gb with unified memory alone, slowly: 24.85 GiB of host memory besides what the process takes"
    for form in ("lsf", "htcondor"):
        assert told in made(form, plan).splitlines()
    assert "export TF_FORCE_UNIFIED_MEMORY=true" in lsf(plan, tmp_path)["big.json"].splitlines()
    assert sbatch(plan, ASKED) == []
    (line,) = sbatch(plan, CHAIN)
    variables = "XLA_PYTHON_CLIENT_PREALLOCATE=false,TF_FORCE_UNIFIED_MEMORY=true,XLA_CLIENT_MEM_FRACTION=3.2"
    assert shlex.split(line)[2] == f"--export=ALL,{variables}"


def test_host_memory_is_left_out_where_it_is_not_known(planned):
    plan = planned({"a.json": [1]})
    assert records(plan)["a.json"]["host_bytes"] is None
    assert "host" not in made("snakemake", plan) + made("lsf", plan) + made("htcondor", plan) + made("nextflow", plan)


def test_a_file_of_several_jobs_is_one_run_that_fits_all(planned):
    plan = planned({"list.json": [1, 30], "half.json": [1, None]}, seeds=3)
    assert list(records(plan)) == ["list.json"]
    row = records(plan)["list.json"]
    assert (row["jobs"], row["tokens"], row["seeds"], row["target"], row["needs_bytes"]) == (2, 1001, 6, "a100-40gb", 30 * GIB)
    assert (
        "no line for LSF: half.json runs its 2 jobs one after the other, and no target is known that fits number 2"
        in report.problems(plan, ASKED, "lsf")
    )


def test_a_file_that_is_named_twice_runs_once(planned):
    plan = planned({"a.json": [1]})
    twice = Plan(plan.targets, plan.fraction, plan.jobs * 2, ())
    assert sbatch(twice, ASKED) == sbatch(plan, ASKED)


def test_seeds_and_samples_are_told_apart(planned):
    assert (
        "6 seeds run one after the other, which takes time and no more memory; 5 samples (num_samples) of a seed are made at "
        "once, and the numbers include them"
    ) in report.render_text(planned({"a.json": [1], "b.json": [1]}, seeds=3), Site()).splitlines()
    assert "seeds" not in report.render_text(planned({"a.json": [1]}), Site())


def test_a_share_of_the_gpu_is_what_jax_may_take(planned):
    row = records(planned({"a.json": [16]}, fraction="80 %"))["a.json"]
    assert (row["mem_fraction"], row["gpu_mib"]) == ("0.8", 20480)
    row = records(planned({"a.json": [16]}, fraction="20 GiB"))["a.json"]
    assert (row["mem_fraction"], row["gpu_mib"]) == ("0.95", 16384)


DOCUMENT = (Path(__file__).parents[2] / "docs" / "planning.md").read_text()


@pytest.fixture
def cluster(tmp_path):
    """A folder with the script and the program of docs/planning.md, and programs for the place of `sbatch` and AlphaFold 3."""
    script, submit = (
        re.search(start, DOCUMENT, re.DOTALL)[1] for start in (r"```bash\n(#!.*?)```", r"```python\n(import csv.*?)```")
    )
    (tmp_path / "run_alphafold.sbatch").write_text(script)
    (tmp_path / "submit.py").write_text(submit)
    variables = "$XLA_PYTHON_CLIENT_PREALLOCATE $XLA_CLIENT_MEM_FRACTION ${TF_FORCE_UNIFIED_MEMORY:-false}"
    programs = {
        "python3": f'exec {sys.executable} -S "$@"',
        "python": f'printf "%s\\0" "$@" "{variables}"',
        "sbatch": """for word; do case $word in --gres=*) gres=$word;; --array=*) tasks=${word#--array=};; esac; done
            for task in ${tasks//,/ }; do printf "%s\\0" "$gres"; SLURM_ARRAY_TASK_ID=$task bash "${@: -2}"; done""",
    }
    (tmp_path / "bin").mkdir()
    for name, code in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{code}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    search = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    environment = {"PATH": search, "AF3_MODELS": "/models", "AF3_OUTPUT": "/output"}

    def run(*command, **variables):
        done = subprocess.run(
            command, cwd=tmp_path, env={**environment, **variables}, capture_output=True, text=True, check=False
        )
        return done.stdout.split("\0")[:-1], done.stderr

    return run


def test_the_documented_script_runs_every_row_on_its_gpu(planned, cluster, tmp_path):
    odd = NAMES[5]
    plan = planned({"large.json": [30], odd: [1], "spills.json": [100]})
    (tmp_path / "plan.csv").write_text(made("csv", plan))
    words, errors = cluster(sys.executable, "-S", "submit.py")
    assert errors == ""
    found = {words[at + 2].removeprefix("--json_path="): (words[at], words[at + 5]) for at in range(0, len(words), 6)}
    assert found == {
        "large.json": ("--gres=gpu:nvidia_a100-sxm4-40gb:1", "true 0.95 false"),
        odd: ("--gres=gpu:l4:1", "true 0.95 false"),
        "spills.json": ("--gres=gpu:nvidia_h100_80gb_hbm3:1", "false 3.2 true"),
    }


def documented(language):
    return re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)[1]


def test_the_documented_snakefile_finds_a_place_for_each_attempt(planned):
    """Its Python, without Snakemake: what it lists, and what the executor for Slurm is given, which takes no `-` in a `gres`."""
    snakefile = documented("snakemake")
    plan = planned({"jobs/a b.json": [30], "jobs/{brace}.json": [1]})
    scope = {"config": {"af3mem": yaml_of(plan, CHAIN)}}
    exec(re.search(r"^def place.*?\n\n", snakefile, re.DOTALL | re.MULTILINE)[0], scope)
    assert eval(re.search(r"rule all:\n    input: (.*)", snakefile)[1], scope) == ["folds/a b"]
    asked = dict(re.findall(r"^        (\w+)=(lambda .*),$", snakefile, re.MULTILINE))
    wildcards = SimpleNamespace(job="a b")
    assert [{name: eval(code, scope)(wildcards, attempt) for name, code in asked.items()} for attempt in (1, 2, 3)] == [
        {"slurm_extra": "--gpus-per-node=nvidia_a100-sxm4-40gb:1", "slurm_partition": "big", "gpu_mib": 32337},
        *[{"slurm_extra": "--gpus-per-node=nvidia_h100_80gb_hbm3:1", "slurm_partition": "", "gpu_mib": 32337}] * 2,
    ]


def test_snakemake_itself_reads_the_documented_snakefile(planned, tmp_path):
    pytest.importorskip("snakemake")
    names = [f"jobs/{name}" for name in NAMES if name.endswith(".json") and "\n" not in name]
    (tmp_path / "jobs").mkdir()
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "Snakefile").write_text(documented("snakemake"))
    (tmp_path / "plan.yaml").write_text(made("snakemake", planned(small(names)), CHAIN))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "all"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("slurm_partition=small") == len([name for name in names if "{" not in name])


def test_the_documented_script_runs_a_file(cluster):
    paths = ["--model_dir=/models", "--output_dir=/output"]
    words, errors = cluster("bash", "run_alphafold.sbatch", "a b.json", "--norun_data_pipeline")
    assert (errors, words) == (
        "",
        ["run_alphafold.py", "--json_path=a b.json", *paths, "--norun_data_pipeline", "true 0.95 false"],
    )
    words, _ = cluster("bash", "run_alphafold.sbatch", "a.json", XLA_CLIENT_MEM_FRACTION="3.2", TF_FORCE_UNIFIED_MEMORY="true")
    assert words[-1] == "true 3.2 true"
    words, errors = cluster("bash", "run_alphafold.sbatch", "a.json", AF3_MODELS="")
    assert words == []
    assert errors.endswith("AF3_MODELS: the folder of the model parameters\n")
