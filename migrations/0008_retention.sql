-- Jobs of syncs that ended long ago are deleted; the sync stays with its totals. See docs/retention.md.

ALTER TABLE syncs
    ADD COLUMN pruned_at timestamptz,
    ADD COLUMN jobs_kept boolean NOT NULL DEFAULT true,
    ADD COLUMN contacts_pruned bigint,
    ADD CONSTRAINT syncs_pruned_is_over CHECK (pruned_at IS NULL OR finished_at IS NOT NULL) NOT VALID,
    ADD CONSTRAINT syncs_pruned_has_a_time CHECK (jobs_kept OR pruned_at IS NOT NULL) NOT VALID;
COMMENT ON COLUMN syncs.pruned_at IS 'Since when its jobs are deleted; null while they are kept.';
COMMENT ON COLUMN syncs.jobs_kept IS 'Whether jobs of it may still be there.';
COMMENT ON COLUMN syncs.contacts_pruned IS 'How many contacts its receipt was about, noted when its jobs were deleted.';
