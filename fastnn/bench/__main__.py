"""``python -m fastnn.bench``."""

import sys

from fastnn.bench.cli import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m fastnn.bench"))
