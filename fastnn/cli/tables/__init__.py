"""Tables of files: columns by name, of numbers or of texts, whatever the format."""

from fastnn.cli.tables.opening import Reading, open_source
from fastnn.cli.tables.sources import ArraySource, Column, Source, Texts, Values, is_missing, rows_of

__all__ = ["ArraySource", "Column", "Reading", "Source", "Texts", "Values", "is_missing", "open_source", "rows_of"]
