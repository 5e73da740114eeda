"""Files of rows: CSV, NDJSON and JSON arrays, read as a stream.

``open_rows`` gives a ``RowFile``, whose ``rows`` are ``Row`` values; memory is flat however long the file. A
``coercer`` makes numbers and booleans of the cells of CSV where a schema wants them.
"""

from runner.rows.coerce import coercer
from runner.rows.file import RowFile, open_rows
from runner.rows.row import Row

__all__ = ["Row", "RowFile", "coercer", "open_rows"]
