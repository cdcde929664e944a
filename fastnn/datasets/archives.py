"""Single files out of archives, read within bounds: an archive may be damaged, or made to unpack without end."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

MAX_DEFLATION = 1032  # deflate shrinks no further: a larger claim about what a file holds is wrong


def tar_members(path: Path, wanted: Callable[[str], bool], limit: int, total: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the regular files in a .tar.gz whose names are wanted, in the archive's order.

    Nothing is written to the disk.

    Parameters
    ----------
    path : Path
        The archive.
    wanted : callable
        Takes a member's name.
    limit, total : int
        The most bytes of one wanted member, and of all of them.

    Raises
    ------
    ValueError
        The archive is damaged, truncated, something else, or holds more than that.
    """
    import tarfile

    try:
        with gzip.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                if not (member.isfile() and wanted(member.name)):
                    continue
                total -= member.size
                if member.size > limit or total < 0:
                    raise ValueError(f"{path} is not the expected archive: {member.name} makes it too large")
                file = archive.extractfile(member)
                content = b"" if file is None else file.read()
                if len(content) != member.size:
                    raise EOFError(f"it ends within {member.name}")
                yield member.name, content
            # tarfile takes damage between members for the end; the checksum behind the last byte knows better.
            while unpacked.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is a damaged, truncated or foreign tar.gz archive: {error}") from error


def unzip_files(path: Path, folder: Path, names: list[str]) -> None:
    """Write the members of a zip file whose last parts are `names` into `folder`, each whole or not at all.

    Raises
    ------
    ValueError
        The archive is damaged, truncated, something else, or lacks one of them.
    """
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(member.filename).name: member for member in archive.infolist()}
            for name in names:
                if name not in members:
                    raise ValueError(f"{path} has no member {name}")
                if members[name].file_size > path.stat().st_size:  # the members are packed already
                    raise ValueError(f"{path} is damaged: it cannot hold {members[name].file_size} bytes of {name}")
                partial = folder / f"{name}.partial"
                try:
                    partial.write_bytes(archive.read(members[name]))
                    partial.replace(folder / name)
                finally:
                    partial.unlink(missing_ok=True)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is a damaged, truncated or foreign zip file: {error}") from error
