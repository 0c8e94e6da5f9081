-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS jobs_of_contact;
