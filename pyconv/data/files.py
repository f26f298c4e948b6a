"""Finding the files of a data set: in the folder that a user names, else in the cache, downloaded once."""

from __future__ import annotations

import os
import sys
from os import PathLike
from pathlib import Path

from pyconv._extras import require


def find(data_dir: str | PathLike[str], subfolder: str, *candidates: str) -> Path:
    """The first of the candidates that exists in `data_dir` or in its `subfolder`.

    Raises
    ------
    FileNotFoundError
        If there is none; the message lists what was looked for.
    """
    folder = existing_folder(data_dir)
    for place in (folder, folder / subfolder):
        for name in candidates:
            if (place / name).is_file():
                return place / name
    raise FileNotFoundError(f"{folder} holds no {' or '.join(candidates)} (nor does its sub-folder {subfolder})")


def existing_folder(data_dir: str | PathLike[str]) -> Path:
    folder = Path(data_dir)
    if not folder.is_dir():
        raise FileNotFoundError(f"data_dir must be an existing folder, not {str(folder)!r}")
    return folder


def need_folder(data_dir: str | PathLike[str] | None, dataset: str, what: str) -> Path:
    """`data_dir` as a path, for data sets that cannot be downloaded."""
    if data_dir is None:
        raise ValueError(f"dataset {dataset!r} needs data_dir (--data-dir): {what}")
    return Path(data_dir)


def download(url: str, known_hash: str, dataset: str) -> Path:
    """The file behind `url`, fetched once into the user's cache and checked (`known_hash` as ``"sha256:…"``).

    Raises
    ------
    ConnectionError
        If it cannot be fetched; the message says how to give a local copy.
    """
    pooch = require("pooch", "train")
    try:
        path = pooch.retrieve(
            url,
            known_hash,
            path=Path(os.environ.get("PYCONV_CACHE") or pooch.os_cache("pyconv")) / dataset,
            progressbar=sys.stderr.isatty(),
        )
    except (OSError, ValueError) as error:  # ValueError: the checksum differs
        raise ConnectionError(
            f"could not download {url} ({error}); put the official files of {dataset} into a folder and name it with"
            " data_dir (--data-dir)"
        ) from error
    return Path(path)
