-- Which jobs have run with nothing beside them that could be what kills their workers.

ALTER TABLE jobs ADD COLUMN ran_alone boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN jobs.ran_alone IS 'Whether it ran as the only job of its worker that was lost several times; only then it fails for lost attempts.';
