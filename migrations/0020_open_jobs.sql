-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS jobs_open;
