-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS awaiting_jobs_for_turns ON awaiting_jobs (channel_id, urgent DESC, job_id) WHERE awaits = 'turn';
