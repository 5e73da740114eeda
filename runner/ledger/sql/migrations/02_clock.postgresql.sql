-- The database's clock, the same on every machine. On SQLite each connection brings a function of this name.

CREATE FUNCTION flowpost_now() RETURNS DOUBLE PRECISION
LANGUAGE sql VOLATILE AS 'SELECT extract(epoch FROM clock_timestamp())::double precision';
