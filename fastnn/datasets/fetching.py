"""Files of a data set: found in a folder, or downloaded into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from fastnn.datasets.extras import require
from fastnn.datasets.homes import Home

Found = TypeVar("Found")

CHUNK = 1 << 18
TIMEOUT = 30  # seconds without a byte


def obtain(home: Home, data_dir: str | PathLike[str] | None, download: bool, find: Callable[[Path], Found]) -> Found:
    """Find a set's files; where they are missing, download them first if that is wanted.

    Parameters
    ----------
    home : Home
        The set.
    data_dir : path-like or None
        The folder of its files; None: the one named after the set below `data_folder()`.
    download : bool
        Whether missing files are downloaded into that folder.
    find : callable
        Takes the folder; returns what it found there or raises FileNotFoundError.
    """
    folder = data_folder() / home.name if data_dir is None else Path(data_dir).expanduser()
    try:
        return find(folder)
    except FileNotFoundError as error:
        if not download:
            raise FileNotFoundError(f"{error}\ndownload=True gets the published files from {home.url}") from None
    fetch(home, folder)
    return find(folder)


def data_folder() -> Path:
    """Return the folder of all data sets: FASTNN_DATA_DIR, or a folder among the user's caches."""
    if chosen := os.environ.get("FASTNN_DATA_DIR"):
        return Path(chosen).expanduser()
    return Path(_pooch("a loader without data_dir (or FASTNN_DATA_DIR)").os_cache("fastnn"))


def fetch(home: Home, folder: Path) -> None:
    """Download those files of `home` that `folder` lacks.

    Files get their name only when they are complete and their checksum is right; those that are there stay as they are.

    Raises
    ------
    ConnectionError
        A file cannot be had; the message says where it is and in which folder it belongs.
    ValueError
        What was downloaded is not the published file.
    """
    pooch = _pooch("download=True")
    # Servers that pack once more on the way would have the download unpacked, and its checksum be another's.
    downloader = pooch.HTTPDownloader(
        progressbar=find_spec("tqdm") is not None,
        chunk_size=CHUNK,
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},
    )
    for name, md5 in home.files.items():
        if not (folder / name).exists():
            _fetch_file(pooch.retrieve, home.url + name, f"md5:{md5}", folder, name, downloader)


def _fetch_file(retrieve: Any, url: str, checksum: str, folder: Path, name: str, downloader: Any) -> None:
    from requests.exceptions import RequestException  # which pooch depends on

    try:
        retrieve(url, checksum, fname=name, path=folder, downloader=downloader)
    except RequestException as error:
        reason = type(error).__name__ if error.response is None else f"HTTP status {error.response.status_code}"
        raise ConnectionError(f"cannot download {url} ({reason}): get it elsewhere and put it into {folder}") from error
    except ValueError as error:
        raise ValueError(f"{url} is damaged or not the file that was published; nothing is kept: {error}") from error


def _pooch(user: str) -> Any:
    return require("pooch", "pooch", "data", user)
