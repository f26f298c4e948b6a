"""What this installation runs on: versions, backends, instruction set, threads, BLAS, optional extras."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import numpy as np

from pyconv import kernels
from pyconv._version import __version__
from pyconv.kernels import threads

_EXTRAS = {
    "train": ("tqdm", "matplotlib", "pillow", "pooch", "h5py", "safetensors", "tensorboardX"),
    "numba": ("numba",),
    "bench": ("pytest-benchmark", "threadpoolctl"),
}


def show_config(mode: str = "print") -> dict[str, Any] | None:
    """Print what pyconv runs on here, or give it as a dict.

    Parameters
    ----------
    mode : {"print", "dict"}

    Examples
    --------
    >>> import pyconv as pc
    >>> sorted(pc.show_config("dict"))
    ['backend', 'backends', 'blas', 'extras', 'isa', 'isas', 'platform', 'threads', 'versions']
    """
    if mode not in ("print", "dict"):
        raise ValueError(f"mode must be print or dict, not {mode!r}")
    config = _config()
    if mode == "dict":
        return config
    print(_text(config))
    return None


def _config() -> dict[str, Any]:
    reasons = {name: kernels.available(name) for name in kernels.BACKENDS}
    isa, isas = _instruction_sets(reasons["native"])
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "versions": {"pyconv": __version__, "python": platform.python_version(), "numpy": np.__version__},
        "platform": f"{platform.system()} {platform.machine()}",
        "backend": kernels.get_backend(),
        "backends": {name: reason or "available" for name, reason in reasons.items()},
        "isa": isa,
        "isas": isas,
        "threads": {
            "in use": threads.get_num_threads(),
            "usable cores": threads.usable_cores(),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        },
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "extras": {extra: {name: _version(name) for name in packages} for extra, packages in _EXTRAS.items()},
    }


def _instruction_sets(refusal: str | None) -> tuple[str | None, list[str]]:
    """The instruction set that the C kernels use and all they could, or none where there are no C kernels."""
    if refusal is not None:
        return None, []
    from pyconv.kernels.native import library

    return library.get_isa(), list(library.isas())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _text(config: dict[str, Any]) -> str:
    versions, counts = config["versions"], config["threads"]
    asked = f", OMP_NUM_THREADS={counts['OMP_NUM_THREADS']}" if counts["OMP_NUM_THREADS"] else ""
    isa = f"{config['isa']} (of {', '.join(config['isas'])})" if config["isa"] else "none: there are no C kernels"
    lines = [
        f"pyconv    {versions['pyconv']}, Python {versions['python']}, NumPy {versions['numpy']}, {config['platform']}",
        f"backend   {config['backend']}",
        *(f"          {name}: {state}" for name, state in config["backends"].items()),
        f"ISA       {isa}",
        f"threads   {counts['in use']} ({counts['usable cores']} cores usable{asked})",
        f"BLAS      {config['blas']} (NumPy's)",
    ]
    for extra, packages in config["extras"].items():
        missing = [name for name, version in packages.items() if version is None]
        there = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
        advice = f'missing {", ".join(missing)}: pip install "pyconv-engine[{extra}]"' if missing else ""
        lines.append(f"[{extra}]".ljust(10) + "; ".join(part for part in (there, advice) if part))
    return "\n".join(lines)
