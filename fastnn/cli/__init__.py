"""The command line: ``fastnn demo | train | predict | evaluate | bench | figures | info | warmup``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import fastnn
from fastnn.cli import commands
from fastnn.cli.parser import USER_ERROR, make_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, or 2 after a user's error, told in one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["bench"]:
            return commands.run_bench(arguments[1:])
        options = make_parser().parse_args(arguments)
        _configure(options)
        options.run(options)
        sys.stdout.flush()  # so that a closed pipe is met here, not at the interpreter's exit
    except BrokenPipeError:  # `fastnn predict ... | head`: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ModuleNotFoundError as error:
        return _fail(_advice(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except MemoryError as error:
        return _fail(f"there is not enough memory: {error}")
    except (ImportError, TypeError, ValueError, fastnn.DivergenceError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(message: str) -> int:
    print("fastnn: error:", " ".join(message.split()), file=sys.stderr)
    return USER_ERROR


def _advice(error: ModuleNotFoundError) -> str:
    name = error.name or ""
    if name.startswith("fastnn._kernels.cython"):
        return "this installation has no compiled kernels: install a wheel, or from source with a C compiler"
    return f"{name} is not installed: pip install {name}" if name and not name.startswith("fastnn") else str(error)


def _configure(options: argparse.Namespace) -> None:
    if getattr(options, "backend", None):
        fastnn.set_backend(options.backend)
    if getattr(options, "threads", None):
        fastnn.set_num_threads(options.threads)
