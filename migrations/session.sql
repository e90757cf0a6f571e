-- Opens each migration's transaction.

-- A statement that waits for a lock makes everybody else wait behind it: rather give up, and try again.
set local lock_timeout = '3s';
set local statement_timeout = '10min';
-- One migration at a time in this database.
select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('relay.migrate', 0));
