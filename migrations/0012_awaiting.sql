-- Gateways that take a request and deliver later, by webhook: what waits, what came, what must not be asked twice.

ALTER TABLE syncs
    DROP CONSTRAINT syncs_kind_known,
    ADD CONSTRAINT syncs_kind_known CHECK (kind IN ('channel', 'contact', 'message')) NOT VALID,
    ADD COLUMN deep boolean NOT NULL DEFAULT false,
    ADD COLUMN window_days smallint,
    ADD COLUMN messages_left_out bigint NOT NULL DEFAULT 0,
    ADD COLUMN delivery text,
    ADD COLUMN percent smallint;
COMMENT ON COLUMN syncs.kind IS 'channel, contact (a ticket sync: urgent), or message (one that is missing: urgent).';
COMMENT ON COLUMN syncs.deep IS 'Whether phones are asked for what the gateway does not hold.';
COMMENT ON COLUMN syncs.window_days IS 'Messages that were older when the sync was asked for are left out; none are without it.';
COMMENT ON COLUMN syncs.delivery IS 'What its waiting jobs waited for last, and how far that was.';
COMMENT ON COLUMN syncs.percent IS 'How much of a number''s history has come, where the gateway says so.';
COMMENT ON COLUMN syncs.messages_left_out IS 'Messages outside the window: neither fetched nor stored.';

ALTER TABLE jobs
    DROP CONSTRAINT jobs_kind_known,
    ADD CONSTRAINT jobs_kind_known CHECK (kind IN ('plan', 'history', 'account', 'restore')) NOT VALID,
    ADD COLUMN left_out integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN jobs.kind IS 'plan, history, account (all of a number''s history), or restore (one message).';
COMMENT ON COLUMN jobs.left_out IS 'Messages outside the sync''s window.';

ALTER TABLE messages
    DROP CONSTRAINT messages_origin_known,
    ADD CONSTRAINT messages_origin_known CHECK (origin IN ('history', 'restored', 'live')) NOT VALID,
    ALTER COLUMN job_id DROP NOT NULL;
COMMENT ON COLUMN messages.origin IS 'history: a part of the past; restored: brought back by a resync; live: arrived as new. Automations look at live ones alone.';
COMMENT ON COLUMN messages.job_id IS 'The job that stored it; none where a webhook brought it that nobody waited for.';

CREATE TABLE awaiting_jobs (
    job_id     bigint PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    awaits     text NOT NULL CONSTRAINT awaiting_jobs_awaits_known CHECK (awaits IN ('turn', 'initial sync', 'delivery', 'reread')),
    rule       text NOT NULL CONSTRAINT awaiting_jobs_rule_known CHECK (rule IN ('answer', 'progress', 'quiescence', 'event', 'reply')),
    since      timestamptz NOT NULL,
    until      timestamptz NOT NULL,
    look_at    timestamptz NOT NULL,
    token      uuid,
    heard_at   timestamptz,
    delivered  jsonb NOT NULL DEFAULT '{}',
    told       text
);
CREATE INDEX awaiting_jobs_to_look_at ON awaiting_jobs (look_at);
CREATE INDEX awaiting_jobs_of_channel ON awaiting_jobs (channel_id, job_id);
COMMENT ON TABLE awaiting_jobs IS 'Jobs that wait for something to come, or are about to. Written before the request is made, so that a delivery that is faster than its answer finds the job.';
COMMENT ON COLUMN awaiting_jobs.job_id IS 'The job.';
COMMENT ON COLUMN awaiting_jobs.channel_id IS 'Its channel.';
COMMENT ON COLUMN awaiting_jobs.awaits IS 'turn: another request of the channel; initial sync: the gateway''s first one after pairing; delivery; reread: a time.';
COMMENT ON COLUMN awaiting_jobs.rule IS 'How a delivery shows its end.';
COMMENT ON COLUMN awaiting_jobs.since IS 'When the request was made, or the wait began.';
COMMENT ON COLUMN awaiting_jobs.until IS 'The deadline.';
COMMENT ON COLUMN awaiting_jobs.look_at IS 'When to look whether the wait is over.';
COMMENT ON COLUMN awaiting_jobs.token IS 'The execution that is about to make the request.';
COMMENT ON COLUMN awaiting_jobs.heard_at IS 'When something came last.';
COMMENT ON COLUMN awaiting_jobs.delivered IS 'What has come: phase, chunk, percent, counts.';
COMMENT ON COLUMN awaiting_jobs.told IS 'The same in words.';

CREATE TABLE turns (
    channel_id uuid PRIMARY KEY REFERENCES channels ON DELETE CASCADE,
    job_id     bigint,
    free_at    timestamptz NOT NULL,
    sync_id    uuid,
    silences   integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE turns IS 'One request per channel is under way whose answer could not be told from another''s.';
COMMENT ON COLUMN turns.channel_id IS 'The channel.';
COMMENT ON COLUMN turns.job_id IS 'Whose request that is; none between two.';
COMMENT ON COLUMN turns.free_at IS 'Since when nobody has it.';
COMMENT ON COLUMN turns.sync_id IS 'The sync that had it last.';
COMMENT ON COLUMN turns.silences IS 'Requests of that sync to the phone, in a row, that nothing came of.';

CREATE TABLE account_requests (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id   uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    job_id       bigint NOT NULL,
    call         text NOT NULL,
    token        uuid NOT NULL,
    state        text NOT NULL CONSTRAINT account_requests_state_known CHECK (state IN ('attempting', 'accepted', 'refused', 'unknown')),
    made_at      timestamptz NOT NULL,
    answered_at  timestamptz,
    answer       text,
    allowed_at   timestamptz
);
CREATE UNIQUE INDEX account_requests_once ON account_requests (channel_id, call) WHERE state <> 'refused' AND allowed_at IS NULL;
COMMENT ON TABLE account_requests IS 'Requests that are made once. Each is here before it is made, and never made again by itself.';
COMMENT ON COLUMN account_requests.id IS 'Row id.';
COMMENT ON COLUMN account_requests.channel_id IS 'The channel.';
COMMENT ON COLUMN account_requests.job_id IS 'The job that made it.';
COMMENT ON COLUMN account_requests.call IS 'request_contacts, or request_history.';
COMMENT ON COLUMN account_requests.token IS 'The execution that made it, or was about to.';
COMMENT ON COLUMN account_requests.state IS 'attempting: written before the call; accepted; refused: surely not taken; unknown: it may have been taken.';
COMMENT ON COLUMN account_requests.made_at IS 'When.';
COMMENT ON COLUMN account_requests.answered_at IS 'When the answer came, or was given up.';
COMMENT ON COLUMN account_requests.answer IS 'The gateway''s answer as it came, shortened.';
COMMENT ON COLUMN account_requests.allowed_at IS 'When somebody, or a new pairing, allowed another one.';

CREATE TABLE channel_facts (
    channel_id      uuid PRIMARY KEY REFERENCES channels ON DELETE CASCADE,
    onboarded_at    timestamptz,
    initial_sync_at timestamptz,
    allowed_at      timestamptz,
    heard_at        timestamptz
);
COMMENT ON TABLE channel_facts IS 'What webhooks and people have told of a channel.';
COMMENT ON COLUMN channel_facts.channel_id IS 'The channel.';
COMMENT ON COLUMN channel_facts.onboarded_at IS 'When its number was paired or onboarded; its creation counts while nobody said.';
COMMENT ON COLUMN channel_facts.initial_sync_at IS 'When the gateway said that its first sync was over.';
COMMENT ON COLUMN channel_facts.allowed_at IS 'When somebody allowed the request for history whatever is known.';
COMMENT ON COLUMN channel_facts.heard_at IS 'When a webhook was read last.';

CREATE TABLE credits (
    id         bigint GENERATED ALWAYS AS IDENTITY (START WITH 1099511627776) PRIMARY KEY,
    job_id     bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    contact_id bigint NOT NULL REFERENCES contacts ON DELETE CASCADE,
    fetched    integer NOT NULL DEFAULT 0,
    stored     integer NOT NULL DEFAULT 0,
    left_out   integer NOT NULL DEFAULT 0,
    CONSTRAINT credits_one_per_contact UNIQUE (job_id, contact_id)
);
CREATE INDEX credits_of_contact ON credits (contact_id);
COMMENT ON TABLE credits IS 'What a job for the whole number brought of each contact.';
COMMENT ON COLUMN credits.id IS 'A number beyond those of jobs: lines of receipts are in one order.';
COMMENT ON COLUMN credits.job_id IS 'The job.';
COMMENT ON COLUMN credits.contact_id IS 'The contact; it may have been merged since.';
COMMENT ON COLUMN credits.fetched IS 'Messages delivered.';
COMMENT ON COLUMN credits.stored IS 'New rows among them.';
COMMENT ON COLUMN credits.left_out IS 'Messages outside the sync''s window.';

CREATE OR REPLACE VIEW sync_status AS
SELECT s.id AS sync_id, s.channel_id, c.name AS channel_name, c.provider, s.kind, s.state, s.revision,
       s.jobs_total, s.jobs_queued, s.jobs_delayed, s.jobs_awaiting, s.jobs_succeeded, s.jobs_empty, s.jobs_skipped,
       s.jobs_failed, s.jobs_cancelled, s.messages_fetched, s.messages_stored, s.messages_duplicate,
       CASE WHEN s.jobs_total > 0
            THEN (s.jobs_total - s.jobs_queued - s.jobs_delayed - s.jobs_awaiting
                  + CASE WHEN s.jobs_awaiting > 0 THEN coalesce(s.percent, 0) / 100.0 ELSE 0 END)::double precision / s.jobs_total
            WHEN s.finished_at IS NOT NULL THEN 1 ELSE 0 END AS progress,
       s.reason, s.error, s.created_at, s.started_at, s.finished_at,
       extract(epoch FROM coalesce(s.finished_at, now()) - s.started_at)::double precision AS elapsed_seconds,
       coalesce(w.limited_by, CASE WHEN s.jobs_awaiting > 0 AND s.jobs_queued + s.jobs_delayed = 0 AND s.finished_at IS NULL
                                   THEN s.delivery END) AS limited_by,
       CASE WHEN w.limited_by IS NOT DISTINCT FROM o.limited_by AND o.next_at > now() THEN o.next_at END AS next_at,
       CASE WHEN w.limited_by IS NOT DISTINCT FROM o.limited_by AND s.state = 'running' AND o.eta_seconds IS NOT NULL
            THEN greatest(0, o.eta_seconds - extract(epoch FROM now() - o.seen_at)::double precision) END AS eta_seconds,
       CASE WHEN o.running IS NOT NULL THEN least(o.running, s.jobs_queued + s.jobs_delayed) END AS jobs_running,
       o.seen_at AS outlook_at, s.messages_left_out, s.window_days,
       CASE WHEN s.jobs_awaiting > 0 THEN s.delivery END AS delivery
FROM syncs s JOIN channels c ON c.id = s.channel_id
LEFT JOIN sync_outlooks o ON o.sync_id = s.id AND s.finished_at IS NULL AND o.seen_at > now() - interval '15 seconds'
LEFT JOIN LATERAL (SELECT sincro_limited_by(s.state, c.state, c.paused_by, c.reason, o.limited_by) AS limited_by) w
       ON s.finished_at IS NULL;

CREATE OR REPLACE VIEW job_status AS
SELECT j.id AS job_id, j.sync_id, j.channel_id, coalesce(c.merged_into, c.id) AS contact_id, j.kind, j.address_kind, j.address,
       CASE WHEN j.state IN ('queued', 'delayed') AND (s.state = 'paused' OR ch.state = 'paused') THEN 'paused'
            WHEN j.state = 'delayed' AND j.next_at <= now() THEN 'queued'
            ELSE j.state END AS state,
       j.attempts, j.attempt_limit, j.reason, j.last_error, j.next_at, j.fetched, j.stored, j.duplicate, j.created_at, j.settled_at,
       CASE WHEN j.state = 'awaiting' THEN a.awaits || coalesce(': ' || a.told, '')
            WHEN j.state NOT IN ('queued', 'delayed') THEN NULL
            WHEN j.next_at > now() AND s.state <> 'paused' AND ch.state <> 'paused'
            THEN 'retry at ' || to_char(j.next_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
            ELSE sincro_limited_by(s.state, ch.state, ch.paused_by, ch.reason, o.limited_by) END AS waiting_for,
       j.left_out, CASE WHEN j.state = 'awaiting' THEN a.until END AS awaiting_until
FROM jobs j JOIN syncs s ON s.id = j.sync_id JOIN channels ch ON ch.id = j.channel_id LEFT JOIN contacts c ON c.id = j.contact_id
LEFT JOIN awaiting_jobs a ON a.job_id = j.id
LEFT JOIN sync_outlooks o ON o.sync_id = s.id AND s.finished_at IS NULL AND o.seen_at > now() - interval '15 seconds';

CREATE OR REPLACE VIEW contact_receipts AS
SELECT j.sync_id, j.channel_id, j.id AS job_id, coalesce(c.merged_into, c.id) AS contact_id, coalesce(m.name, c.name) AS contact_name,
       j.address_kind, j.address,
       CASE WHEN j.state = 'skipped' OR j.kind = 'account' THEN 0 WHEN j.kind = 'restore' THEN 1 ELSE s.messages_wanted END AS expected,
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
COMMENT ON VIEW contact_receipts IS 'One row per sync, contact and address: what was expected, fetched, stored, already there, left out, skipped and why. A job for the whole number has a row of its own, for what belongs to no contact, and one for each contact.';
