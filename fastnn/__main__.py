"""Run the command line: ``python -m fastnn`` is ``fastnn``."""

from fastnn.cli import main

raise SystemExit(main())
