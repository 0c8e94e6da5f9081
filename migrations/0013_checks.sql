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
CREATE INDEX channel_checks_of_channel ON channel_checks (channel_id, sync_id DESC);
COMMENT ON TABLE channel_checks IS 'What looks at a channel''s set-up found.';
COMMENT ON COLUMN channel_checks.sync_id IS 'The look.';
COMMENT ON COLUMN channel_checks.channel_id IS 'The channel.';
COMMENT ON COLUMN channel_checks.findings IS 'A list of {about, health, says, mend}, one about each thing.';
COMMENT ON COLUMN channel_checks.receivers IS 'Other receivers of webhooks that a registration has to send along, sealed like credentials; none once it was made.';

CREATE OR REPLACE VIEW contact_receipts AS
SELECT j.sync_id, j.channel_id, j.id AS job_id, coalesce(c.merged_into, c.id) AS contact_id, coalesce(m.name, c.name) AS contact_name,
       j.address_kind, j.address,
       CASE WHEN j.state = 'skipped' OR j.kind IN ('account', 'check') THEN 0 WHEN j.kind = 'restore' THEN 1
            ELSE s.messages_wanted END AS expected,
       j.fetched - coalesce(k.fetched, 0)::integer AS fetched, j.stored - coalesce(k.stored, 0)::integer AS stored,
       j.duplicate - coalesce(k.fetched - k.stored, 0)::integer AS duplicate,
       j.state AS outcome, j.reason, j.last_error, j.attempts, j.settled_at,
       j.id AS line_id, j.left_out - coalesce(k.left_out, 0)::integer AS left_out
FROM jobs j JOIN syncs s ON s.id = j.sync_id LEFT JOIN contacts c ON c.id = j.contact_id LEFT JOIN contacts m ON m.id = c.merged_into
LEFT JOIN LATERAL (SELECT sum(r.fetched) AS fetched, sum(r.stored) AS stored, sum(r.left_out) AS left_out
                   FROM credits r WHERE r.job_id = j.id AND j.kind = 'account') k ON true
WHERE j.kind <> 'plan'
UNION ALL
SELECT j.sync_id, j.channel_id, j.id, coalesce(c.merged_into, c.id), coalesce(m.name, c.name),
       CASE WHEN coalesce(m.phone_jid, c.phone_jid) IS NOT NULL THEN 'phone' ELSE 'lid' END,
       coalesce(m.phone_jid, c.phone_jid, m.lid, c.lid), r.fetched, r.fetched, r.stored, r.fetched - r.stored,
       CASE WHEN j.state = 'awaiting' THEN 'awaiting' WHEN r.fetched > 0 THEN 'succeeded' ELSE 'empty' END,
       CASE WHEN j.state <> 'awaiting' AND r.fetched = 0 THEN 'nothing received' END, NULL, j.attempts, j.settled_at, r.id, r.left_out
FROM credits r JOIN jobs j ON j.id = r.job_id JOIN contacts c ON c.id = r.contact_id LEFT JOIN contacts m ON m.id = c.merged_into;
