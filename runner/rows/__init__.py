"""Files of rows: CSV, NDJSON and JSON arrays, read as a stream."""
