-- The files that come with messages: what is known of them, and what became of them.

ALTER TABLE syncs
    DROP CONSTRAINT syncs_kind_known,
    ADD CONSTRAINT syncs_kind_known CHECK (kind IN ('channel', 'contact', 'message', 'check', 'media')) NOT VALID;
COMMENT ON COLUMN syncs.kind IS 'channel, contact (a ticket sync: urgent), message (one that is missing: urgent), check (a look at the set-up: urgent), or media (files of stored messages).';
COMMENT ON COLUMN syncs.messages_fetched IS 'Messages read from the gateway; of a media sync, files.';

ALTER TABLE jobs
    DROP CONSTRAINT jobs_kind_known,
    ADD CONSTRAINT jobs_kind_known CHECK (kind IN ('plan', 'history', 'account', 'restore', 'check', 'media')) NOT VALID;
COMMENT ON COLUMN jobs.kind IS 'plan, history, account (all of a number''s history), restore (one message), check (the channel''s set-up), or media (the file of one message).';
COMMENT ON COLUMN jobs.fetched IS 'Messages read; 1 for a file that came.';

ALTER TABLE channels
    DROP CONSTRAINT channels_features_known,
    ADD CONSTRAINT channels_features_known CHECK (features <@ ARRAY['import_messages', 'fetch_media']) NOT VALID;
COMMENT ON COLUMN channels.features IS 'What the channel is entitled to; import_messages allows channel syncs, fetch_media has files fetched without being asked for.';

CREATE TABLE media (
    channel_id   uuid NOT NULL,
    message_id   text NOT NULL,
    state        text NOT NULL CONSTRAINT media_state_known CHECK (state IN ('placeholder', 'known', 'stored', 'too_large', 'gone', 'failed')),
    sent_at      timestamptz NOT NULL,
    media_id     text,
    link         text,
    mime         text,
    bytes        bigint,
    file_name    text,
    told_sha256  text,
    asked_at     timestamptz,
    location     text,
    stored_bytes bigint,
    sha256       text,
    stored_at    timestamptz,
    limit_bytes  bigint,
    reason       text,
    PRIMARY KEY (channel_id, message_id),
    FOREIGN KEY (channel_id, message_id) REFERENCES messages ON DELETE CASCADE,
    CONSTRAINT media_one_place CHECK (media_id IS NULL OR link IS NULL),
    CONSTRAINT media_placeholder_has_no_place CHECK ((state = 'placeholder') = (media_id IS NULL AND link IS NULL)),
    CONSTRAINT media_stored_says_where CHECK ((state = 'stored') = (location IS NOT NULL)
                                          AND (location IS NULL) = (stored_at IS NULL)
                                          AND (location IS NULL) = (stored_bytes IS NULL)
                                          AND (location IS NULL) = (sha256 IS NULL)),
    CONSTRAINT media_missing_says_why CHECK (state NOT IN ('too_large', 'gone', 'failed') OR reason IS NOT NULL)
);
CREATE INDEX media_to_fetch ON media (channel_id, sent_at DESC) WHERE state IN ('known', 'too_large', 'failed');
CREATE INDEX media_never_asked_for ON media (channel_id) WHERE state = 'known' AND asked_at IS NULL;
COMMENT ON TABLE media IS 'The files of messages. Written with the message; the file itself is fetched by a job of its own, if somebody wants it.';
COMMENT ON COLUMN media.channel_id IS 'The channel.';
COMMENT ON COLUMN media.message_id IS 'The provider''s id of the message.';
COMMENT ON COLUMN media.state IS 'placeholder: nobody says where it is; known: it can be asked for; stored; too_large; gone: the gateway has it no more; failed.';
COMMENT ON COLUMN media.sent_at IS 'When its message was sent: the newest are fetched first.';
COMMENT ON COLUMN media.media_id IS 'The gateway''s id of it.';
COMMENT ON COLUMN media.link IS 'The address where it is, where it has no id. It may hold the right to read it.';
COMMENT ON COLUMN media.mime IS 'Its type, as the provider says.';
COMMENT ON COLUMN media.bytes IS 'Its length, as the provider says.';
COMMENT ON COLUMN media.file_name IS 'The name that its sender gave it.';
COMMENT ON COLUMN media.told_sha256 IS 'Its SHA-256, as the provider writes it.';
COMMENT ON COLUMN media.asked_at IS 'When a job was last written for it; none since it became known.';
COMMENT ON COLUMN media.location IS 'Where it was stored: file:///... or s3://...';
COMMENT ON COLUMN media.stored_bytes IS 'How long what was stored is.';
COMMENT ON COLUMN media.sha256 IS 'The SHA-256 of what was stored, in hex.';
COMMENT ON COLUMN media.stored_at IS 'When it was stored.';
COMMENT ON COLUMN media.limit_bytes IS 'The limit that it was too large for.';
COMMENT ON COLUMN media.reason IS 'Why it is not stored, when it was tried.';

CREATE OR REPLACE VIEW contact_receipts AS
SELECT j.sync_id, j.channel_id, j.id AS job_id, coalesce(c.merged_into, c.id) AS contact_id, coalesce(m.name, c.name) AS contact_name,
       j.address_kind, j.address,
       CASE WHEN j.state = 'skipped' OR j.kind IN ('account', 'check') THEN 0 WHEN j.kind IN ('restore', 'media') THEN 1
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

CREATE OR REPLACE VIEW channel_status AS
SELECT c.id AS channel_id, c.name, c.provider, c.server, c.state, c.reason, c.rate_per_second, c.burst, c.concurrency,
       (SELECT count(*) FROM contacts k WHERE k.channel_id = c.id AND k.merged_into IS NULL) AS contacts,
       t.open_syncs, t.open_jobs, t.failed_jobs, t.messages_stored, t.last_finished_at, c.created_at,
       c.paused_by, o.effective_rate, o.observed_rate, r.until AS cooldown_until, r.reason AS cooldown_reason, o.running
FROM channels c
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE s.finished_at IS NULL) AS open_syncs,
           coalesce(sum(s.jobs_queued + s.jobs_delayed + s.jobs_awaiting), 0)::bigint AS open_jobs,
           coalesce(sum(s.jobs_failed), 0)::bigint AS failed_jobs,
           coalesce(sum(s.messages_stored) FILTER (WHERE s.kind <> 'media'), 0)::bigint AS messages_stored,
           max(s.finished_at) AS last_finished_at
    FROM syncs s WHERE s.channel_id = c.id
) t ON true
LEFT JOIN level_outlooks o ON o.key = c.id::text AND o.seen_at > now() - interval '15 seconds'
LEFT JOIN LATERAL (
    SELECT k.until, CASE WHEN k.channel_id IS NULL THEN 'server ' || k.reason ELSE k.reason END AS reason
    FROM cooldowns k WHERE k.key IN (c.id::text, c.server) AND k.until > now() ORDER BY k.until DESC LIMIT 1
) r ON true;
