-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS syncs_to_prune ON syncs (finished_at) WHERE finished_at IS NOT NULL AND jobs_kept;
