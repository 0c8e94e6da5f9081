-- Looks at a channel's set-up, and what they found.

ALTER TABLE syncs
    DROP CONSTRAINT syncs_kind_known,
    ADD CONSTRAINT syncs_kind_known CHECK (kind IN ('channel', 'contact', 'message', 'check')) NOT VALID;
COMMENT ON COLUMN syncs.kind IS 'channel, contact (a ticket sync: urgent), message (one that is missing: urgent), or check (a look at the set-up: urgent).';

ALTER TABLE jobs
    DROP CONSTRAINT jobs_kind_known,
    ADD CONSTRAINT jobs_kind_known CHECK (kind IN ('plan', 'history', 'account', 'restore', 'check')) NOT VALID;
COMMENT ON COLUMN jobs.kind IS 'plan, history, account (all of a number''s history), restore (one message), or check (the channel''s set-up).';

CREATE TABLE channel_checks (
    sync_id    uuid PRIMARY KEY REFERENCES syncs ON DELETE CASCADE,
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    findings   jsonb NOT NULL DEFAULT '[]',
    receivers  bytea
);
CREATE INDEX channel_checks_of_channel ON channel_checks (channel_id);
COMMENT ON TABLE channel_checks IS 'What looks at a channel''s set-up found.';
COMMENT ON COLUMN channel_checks.sync_id IS 'The look.';
COMMENT ON COLUMN channel_checks.channel_id IS 'The channel.';
COMMENT ON COLUMN channel_checks.findings IS 'A list of {about, health, says, mend}, one about each thing.';
COMMENT ON COLUMN channel_checks.receivers IS 'Other receivers of webhooks that a registration has to send along, sealed like credentials; none once it was made.';
