"""AlphaFold 3 as a `Model`: ColabFold's wheel, upstream v3.0.2 and later, and changed checkouts.

Alone this module and `alphafold3_config` import it. `alphafold3_files` reads its files; the rules by which it reads inputs and
counts tokens are in `inputs`, each with the place in its sources that it is of.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import importlib.util
import json
import os
import pickle
import sys
import tempfile
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.models import alphafold3_config as configs
from pytest_af3mem.models import alphafold3_files as files
from pytest_af3mem.models import ccd
from pytest_af3mem.models.model import Batch, Forward

_SETS_PICKLE = Path("constants", "converters", "chemical_component_sets.pickle")
_CCD_PICKLE = Path("constants", "converters", "ccd.pickle")
INSTALL = 'pip install "pytest-af3mem[alphafold3]"'


# `--max_template_date` of run_alphafold.py. Components without RDKit's conformer and without ideal coordinates need a date.
_MAX_TEMPLATE_DATE = datetime.date(2021, 9, 30)


class AlphaFold3:
    """The real network with random parameters; memory does not depend on their values.

    `family` names one of the models that ColabFold's wheel runs on AlphaFold 3's graph, each with its own config and features.
    """

    name = files.NAME
    packages: tuple[str, ...] = ("alphafold3", "tokamax", "haiku", "colabfold_kernels", "jax")
    settings: tuple[str, ...] = (*configs.SETTINGS, configs.KERNEL_TUNING)
    fewer_iterations: Mapping[str, Any] = {"num_recycles": 1, "num_steps": 2}
    parameters_follow_settings = True  # should a change make it untrue, `_refusing` stops the trace
    refuses_other_parameters = True

    def __init__(self, family: str = files.NAME) -> None:
        self._ccd: ccd.Store | None = None
        self._family = family
        if family != AlphaFold3.name:
            self.name = family

    def distribution(self) -> str:
        root = files.root()
        if root is None:
            raise SetupError(f"AlphaFold 3 is not installed in {sys.executable}: {INSTALL} (it needs Python 3.12 or 3.13)")
        if (root / "src" / "alphafold3").is_dir():
            raise SetupError(f"{root} is a clone of AlphaFold 3 that is not installed: {INSTALL}, and --path {root} measures it")
        if not (root / "model" / "model.py").exists():
            raise SetupError(f"{root} is not AlphaFold 3 (PyPI's alphafold3 is another project): {INSTALL}")
        for package in ("jax", "haiku", "tokamax", "rdkit"):
            if importlib.util.find_spec(package) is None:
                raise SetupError(f"AlphaFold 3 needs {package}, which is not installed in {sys.executable}: {INSTALL}")
        if self._family in files.models(root, "AF2_MODELS"):
            raise SetupError(f"{self._family} cannot be measured: it runs on AlphaFold 2's network, which takes other features")
        found = files.distribution()
        if found is not None and files.is_installed(root):
            return f"{found.name} {found.version}"
        return f"alphafold3 {files.version(root)}, a source tree"

    def buckets(self) -> tuple[int, ...]:
        return files.buckets()

    def components(self, folder: Path, progress: Callable[[str], None]) -> Path:
        return _dictionary(folder, progress).path

    def prepare(self, folder: Path, progress: Callable[[str], None]) -> None:
        """Makes `import alphafold3` work here, with the chemical component dictionary in `folder`."""
        if self._ccd is None:
            self._ccd = _dictionary(folder, progress)
            _borrow_extension()
            _redirect_dictionary(self._ccd)

    def featurise(self, job: str, buckets: Sequence[int]) -> Batch:
        import numpy as np
        from alphafold3.common import folding_input
        from alphafold3.data import featurisation
        from alphafold3.model.components import utils

        read = folding_input.Input.from_json(job).fill_missing_fields()
        one = dataclasses.replace(read, rng_seeds=read.rng_seeds[:1])  # each seed would make a batch of the same shapes
        dictionary = _with_components_of(one.user_ccd, self._ccd) if one.user_ccd else self._ccd
        featurise = functools.partial(
            featurisation.featurise_input, ccd=dictionary, buckets=tuple(buckets), ref_max_modified_date=_MAX_TEMPLATE_DATE
        )
        if self._family == AlphaFold3.name:
            (example,) = featurise(one)
        else:
            example = _featurised_for(self._family, one, featurise)
        mask = np.asarray(example["seq_mask"])
        features = {name: np.asarray(array) for name, array in utils.remove_invalidly_typed_feats(example).items()}
        return Batch(features, tokens=int(mask.sum()), bucket=mask.shape[0])

    def features_of_bucket(self, bucket: int) -> Batch | None:
        """Features of the shapes that every job in `bucket` has: AlphaFold 3 pads all of them to the bucket.

        None where two jobs that have little in common get different shapes, as in a checkout that pads less.
        """
        if self._family != AlphaFold3.name or bucket < _CROWD_TOKENS:
            return None
        one, other = (self.featurise(json.dumps(_job(chains)), (bucket,)) for chains in (_LONELY, _CROWD))
        alike = [{name: (array.shape, array.dtype) for name, array in batch.features.items()} for batch in (one, other)]
        return one if alike[0] == alike[1] else None

    def forward(self, settings: Mapping[str, Any], compute_capability: tuple[int, int]) -> Forward:
        import haiku as hk
        from alphafold3.model import model

        config = configs.of_runner(self._family)
        chosen = {"attention": configs.default_attention(compute_capability), **settings}
        tuning = chosen.pop(configs.KERNEL_TUNING, None)
        if tuning not in (None, *configs.TUNINGS):
            raise UsageError(f"{configs.KERNEL_TUNING}={tuning!r} is none of {', '.join(configs.TUNINGS)}")
        for name, value in chosen.items():
            configs.put(config, name, value)

        def network(batch: Mapping[str, Any]) -> Any:
            with hk.custom_getter(_refusing), configs.tuned(tuning):
                return model.Model(config)(batch)

        transformed = hk.transform(network)
        report = {name: configs.get(config, name) for name in (*configs.SETTINGS, *chosen)}
        if tuning:
            report[configs.KERNEL_TUNING] = tuning
        left_to_xla = frozenset({"attention"} if report["attention"] == "xla" else ())
        flags = configs.container_flags(compute_capability)
        channels = configs.get(config, "evoformer.pair_channel")
        return Forward(transformed.init, transformed.apply, report, flags, left_to_xla, configs.STAGES, channels)


# Two jobs as different as small ones can be.
_LONELY: list[dict[str, Any]] = [{"protein": {"id": "A", "sequence": "M"}}]
_CROWD: list[dict[str, Any]] = [
    {"protein": {"id": "A", "sequence": "MKVW", "unpairedMsa": ">query\nMKVW\n>1\nMK-W\n>2\nM--W\n"}},
    {"ligand": {"id": ["B", "C"], "ccdCodes": ["GOL"]}},
    {"dna": {"id": "D", "sequence": "ACGT"}},
]
_CROWD_TOKENS = 4 + 2 * 6 + 4


def _job(chains: list[dict[str, Any]]) -> dict[str, Any]:
    return {"dialect": "alphafold3", "version": 1, "name": "stand-in", "modelSeeds": [1], "sequences": chains}


def _refusing(next_getter: Callable[[Any], Any], value: Any, context: Any) -> Any:
    """Raises ValueError for a parameter of another dtype than the network asks for: names and shapes are checked by Haiku."""
    if value.dtype != context.original_dtype:
        raise ValueError(f"{context.full_name} is {value.dtype}, not {context.original_dtype}")
    return next_getter(value)


def _dictionary(folder: Path, progress: Callable[[str], None]) -> ccd.Store:
    root = files.root()
    built = root / _CCD_PICKLE if root else None
    letters = files.letters(root) if root else {}
    return ccd.prepare(folder, installed=built if built and built.exists() else None, letters=letters, progress=progress)


def _borrow_extension() -> None:
    """Gives a source tree without its compiled C++ module that of the installed distribution.

    So a change of the Python sources is measured without building anything.
    """
    root, found = files.root(), files.distribution()
    if root is None or found is None or files.is_installed(root) or any(root.glob("cpp.*.so")):
        return
    extension = next(iter(Path(str(found.locate_file("alphafold3"))).glob("cpp.*.so")), None)
    if extension is None:
        return
    spec = importlib.util.spec_from_file_location("alphafold3.cpp", extension)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["alphafold3.cpp"] = module
    spec.loader.exec_module(module)


def _redirect_dictionary(store: ccd.Store) -> None:
    """Lets AlphaFold 3 read its dictionary from `store`, and the sets of components too where its `build_data` made none.

    It unpickles the sets when it is imported, so this comes first, and the file is nobody's but this process's. The names are the
    same from v3.0.2 to v3.0.4 and in ColabFold's wheel.
    """
    from alphafold3.common import resources

    original = resources.filename
    with tempfile.TemporaryDirectory(prefix="af3mem-sets-") as private:
        made = Path(private, _SETS_PICKLE.name)

        def filename(name: str | os.PathLike[str]) -> str:
            path = Path(original(name))
            if path.name != made.name or path.exists():
                return str(path)
            made.write_bytes(pickle.dumps(_component_sets(store)))
            return str(made)

        resources.filename = filename
        try:
            importlib.import_module("alphafold3.constants.chemical_component_sets")
        finally:
            resources.filename = original
    from alphafold3.constants import chemical_components

    chemical_components._load_ccd_pickle_cached = lambda path: store


def _component_sets(store: ccd.Store) -> Any:
    """The sets of ions and glycans, derived from the dictionary by the installed AlphaFold 3's own rule."""
    from alphafold3.constants.converters import chemical_component_sets_gen as rule

    return rule.find_ions_and_glycans_in_ccd(store.headers())


class _Layered(ChainMap[str, Any]):
    __hash__ = object.__hash__  # AlphaFold 3 memoises functions of the dictionary


def _with_components_of(user_ccd: str, store: ccd.Store | None) -> _Layered:
    """The dictionary with a job's own components before it, which the runner's `Ccd` would write into it."""
    from alphafold3.cpp import cif_dict

    own = {code: component.to_dict() for code, component in cif_dict.parse_multi_data_cif(user_ccd).items()}
    return _Layered(own, store)  # type: ignore[arg-type]  # only read


def _featurised_for(family: str, job: Any, featurise: Callable[..., Any]) -> Any:
    """Features by the conventions of another model of the family, in the order in which the wheel's runner applies them.

    Embeddings of a protein language model, which some of them read, are made by another network and are not there.
    """
    from alphafold3.model import model_registry
    from alphafold3.model.pipeline import model_features

    spec = model_registry.get(family)
    prepared = model_features.prepare_input(job, spec)
    featurise = functools.partial(featurise, prepared, **model_registry.featurise_kwargs(spec))
    (example,) = featurise()
    has_msa = model_features.input_has_msa(prepared)
    return model_features.apply(example, spec, refeaturise=featurise, has_msa=has_msa, fold_input=prepared)
