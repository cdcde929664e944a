"""``python -m bench`` in a checkout: the same as ``fastnn bench``."""

import sys

from fastnn.bench import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m bench"))
