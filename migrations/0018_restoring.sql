-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_restoring ON jobs (channel_id, (step->>'message_id')) WHERE kind = 'restore';
