-- The ledger: what must be done, and what was done. Redis can be lost; this cannot.
-- Lifecycles are CHECK constraints, so that no writer, ours or an operator's, can leave a state nobody knows.

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    hash         bytea NOT NULL CONSTRAINT api_keys_hash_unique UNIQUE,
    scopes       text[] NOT NULL CONSTRAINT api_keys_scopes_known CHECK (scopes <@ ARRAY['read', 'enqueue', 'admin']),
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
COMMENT ON TABLE api_keys IS 'Who may call the HTTP API. The key itself is shown once and never stored.';
COMMENT ON COLUMN api_keys.id IS 'Public id.';
COMMENT ON COLUMN api_keys.name IS 'Whom or what the key was made for.';
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the key; it holds 256 random bits, so no salt or stretching is needed.';
COMMENT ON COLUMN api_keys.scopes IS 'read, enqueue, admin; admin includes the others, enqueue includes read.';
COMMENT ON COLUMN api_keys.created_at IS 'When it was made.';
COMMENT ON COLUMN api_keys.last_used_at IS 'Last use, to the minute.';
COMMENT ON COLUMN api_keys.revoked_at IS 'Set by hand to refuse it from then on.';

CREATE TABLE channels (
    id              uuid PRIMARY KEY,
    name            text NOT NULL,
    provider        text NOT NULL CONSTRAINT channels_provider_known CHECK (provider IN ('wuzapi', 'positus', 'wsapi', 'whapi', 'gdbrns')),
    base_url        text NOT NULL,
    server          text NOT NULL,
    credentials     bytea NOT NULL,
    features        text[] NOT NULL DEFAULT '{}' CONSTRAINT channels_features_known CHECK (features <@ ARRAY['import_messages']),
    rate_per_second double precision NOT NULL CONSTRAINT channels_rate_in_bounds CHECK (rate_per_second > 0 AND rate_per_second <= 10000),
    burst           integer NOT NULL CONSTRAINT channels_burst_in_bounds CHECK (burst BETWEEN 1 AND 1000),
    concurrency     integer NOT NULL CONSTRAINT channels_concurrency_in_bounds CHECK (concurrency BETWEEN 1 AND 1000),
    state           text NOT NULL DEFAULT 'active' CONSTRAINT channels_state_known CHECK (state IN ('active', 'paused')),
    reason          text,
    hook_token      text NOT NULL CONSTRAINT channels_hook_token_unique UNIQUE,
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    CONSTRAINT channels_paused_says_why CHECK ((state = 'paused') = (reason IS NOT NULL))
);
COMMENT ON TABLE channels IS 'One connected WhatsApp number at one provider.';
COMMENT ON COLUMN channels.id IS 'Public id.';
COMMENT ON COLUMN channels.name IS 'The operator''s name for it.';
COMMENT ON COLUMN channels.provider IS 'The kind of gateway API.';
COMMENT ON COLUMN channels.base_url IS 'Root of the gateway; a path prefix is kept.';
COMMENT ON COLUMN channels.server IS 'provider/host:port; channels that share it share one provider server and one shard of the queue.';
COMMENT ON COLUMN channels.credentials IS 'AES-256-GCM: nonce, then the sealed JSON object; bound to the channel''s id.';
COMMENT ON COLUMN channels.features IS 'What the channel is entitled to; import_messages allows channel syncs.';
COMMENT ON COLUMN channels.rate_per_second IS 'Gateway calls per second over all workers.';
COMMENT ON COLUMN channels.burst IS 'Calls at once after a quiet time.';
COMMENT ON COLUMN channels.concurrency IS 'Calls under way at once over all workers.';
COMMENT ON COLUMN channels.state IS 'active, or paused until somebody resumes it.';
COMMENT ON COLUMN channels.reason IS 'Why it is paused.';
COMMENT ON COLUMN channels.hook_token IS 'The unguessable part of its webhook address.';
COMMENT ON COLUMN channels.version IS 'Grows with every change; the queue ignores what is older than what it knows.';
COMMENT ON COLUMN channels.created_at IS 'When it was created.';

CREATE TABLE contacts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id  uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    phone_jid   text,
    lid         text,
    name        text,
    merged_into bigint REFERENCES contacts ON DELETE CASCADE,
    created_at  timestamptz NOT NULL,
    CONSTRAINT contacts_phone_unique UNIQUE (channel_id, phone_jid),
    CONSTRAINT contacts_lid_unique UNIQUE (channel_id, lid),
    CONSTRAINT contacts_known_or_merged CHECK (((phone_jid IS NOT NULL OR lid IS NOT NULL) AND merged_into IS NULL)
                                            OR (phone_jid IS NULL AND lid IS NULL AND merged_into IS NOT NULL))
);
CREATE INDEX contacts_merged_into ON contacts (merged_into) WHERE merged_into IS NOT NULL;
COMMENT ON TABLE contacts IS 'Persons of a channel. A record that turned out to be somebody already known points to the survivor.';
COMMENT ON COLUMN contacts.id IS 'Row id.';
COMMENT ON COLUMN contacts.channel_id IS 'The channel.';
COMMENT ON COLUMN contacts.phone_jid IS 'digits@s.whatsapp.net, when known.';
COMMENT ON COLUMN contacts.lid IS 'digits@lid, when known.';
COMMENT ON COLUMN contacts.name IS 'Best name heard so far.';
COMMENT ON COLUMN contacts.merged_into IS 'The person this record turned out to be; always a record that is not merged itself.';
COMMENT ON COLUMN contacts.created_at IS 'When it was first heard of.';

CREATE TABLE syncs (
    id                 uuid PRIMARY KEY,
    channel_id         uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    kind               text NOT NULL CONSTRAINT syncs_kind_known CHECK (kind IN ('channel', 'contact')),
    state              text NOT NULL CONSTRAINT syncs_state_known CHECK (state IN ('planning', 'running', 'paused', 'completed', 'completed_with_failures', 'cancelled', 'failed')),
    planned            boolean NOT NULL,
    messages_wanted    integer NOT NULL CONSTRAINT syncs_messages_in_bounds CHECK (messages_wanted BETWEEN 1 AND 100),
    revision           bigint NOT NULL DEFAULT 1,
    lane_seq           bigint NOT NULL DEFAULT 0,
    jobs_total         bigint NOT NULL DEFAULT 0,
    jobs_queued        bigint NOT NULL DEFAULT 0 CONSTRAINT syncs_queued_not_negative CHECK (jobs_queued >= 0),
    jobs_delayed       bigint NOT NULL DEFAULT 0 CONSTRAINT syncs_delayed_not_negative CHECK (jobs_delayed >= 0),
    jobs_awaiting      bigint NOT NULL DEFAULT 0 CONSTRAINT syncs_awaiting_not_negative CHECK (jobs_awaiting >= 0),
    jobs_succeeded     bigint NOT NULL DEFAULT 0,
    jobs_empty         bigint NOT NULL DEFAULT 0,
    jobs_skipped       bigint NOT NULL DEFAULT 0,
    jobs_failed        bigint NOT NULL DEFAULT 0,
    jobs_cancelled     bigint NOT NULL DEFAULT 0,
    messages_fetched   bigint NOT NULL DEFAULT 0,
    messages_stored    bigint NOT NULL DEFAULT 0,
    messages_duplicate bigint NOT NULL DEFAULT 0,
    reason             text,
    error              text,
    created_at         timestamptz NOT NULL,
    started_at         timestamptz,
    finished_at        timestamptz,
    CONSTRAINT syncs_jobs_add_up CHECK (jobs_total = jobs_queued + jobs_delayed + jobs_awaiting + jobs_succeeded + jobs_empty
                                                   + jobs_skipped + jobs_failed + jobs_cancelled),
    CONSTRAINT syncs_messages_add_up CHECK (messages_fetched = messages_stored + messages_duplicate),
    CONSTRAINT syncs_finished_when_over CHECK ((finished_at IS NOT NULL) = (state IN ('completed', 'completed_with_failures', 'cancelled', 'failed'))),
    CONSTRAINT syncs_over_has_no_open_jobs CHECK (finished_at IS NULL OR jobs_queued + jobs_delayed + jobs_awaiting = 0)
);
CREATE UNIQUE INDEX syncs_one_open_per_channel ON syncs (channel_id) WHERE kind = 'channel' AND finished_at IS NULL;
CREATE INDEX syncs_newest_first ON syncs (created_at DESC, id DESC);
CREATE INDEX syncs_of_channel ON syncs (channel_id, created_at DESC);
CREATE INDEX syncs_open ON syncs (id) WHERE finished_at IS NULL;
COMMENT ON TABLE syncs IS 'One request each: a whole channel, or one contact. Counters change in the transaction that settles the jobs they count.';
COMMENT ON COLUMN syncs.id IS 'Public id.';
COMMENT ON COLUMN syncs.channel_id IS 'The channel it reads.';
COMMENT ON COLUMN syncs.kind IS 'channel, or contact (a ticket sync: urgent).';
COMMENT ON COLUMN syncs.state IS 'planning -> running <-> paused -> completed | completed_with_failures | cancelled | failed.';
COMMENT ON COLUMN syncs.planned IS 'All its jobs are written.';
COMMENT ON COLUMN syncs.messages_wanted IS 'Messages asked for per address, 1 to 100.';
COMMENT ON COLUMN syncs.revision IS 'Grows with every change; the id of its events.';
COMMENT ON COLUMN syncs.lane_seq IS 'Number of its last notice to the queue.';
COMMENT ON COLUMN syncs.jobs_total IS 'All jobs, the plan job not counted.';
COMMENT ON COLUMN syncs.jobs_queued IS 'Waiting for their turn or at a worker: which of both, only the queue knows.';
COMMENT ON COLUMN syncs.jobs_delayed IS 'Failed at least once, next attempt due later.';
COMMENT ON COLUMN syncs.jobs_awaiting IS 'Accepted by the gateway, not yet delivered.';
COMMENT ON COLUMN syncs.jobs_succeeded IS 'Ended with messages.';
COMMENT ON COLUMN syncs.jobs_empty IS 'Ended with nothing there.';
COMMENT ON COLUMN syncs.jobs_skipped IS 'Ended without reading a chat.';
COMMENT ON COLUMN syncs.jobs_failed IS 'Given up; a retry queues them again.';
COMMENT ON COLUMN syncs.jobs_cancelled IS 'Stopped with the sync.';
COMMENT ON COLUMN syncs.messages_fetched IS 'Messages read from the gateway.';
COMMENT ON COLUMN syncs.messages_stored IS 'New rows among them.';
COMMENT ON COLUMN syncs.messages_duplicate IS 'Rows that were there already.';
COMMENT ON COLUMN syncs.reason IS 'Why somebody paused or cancelled it.';
COMMENT ON COLUMN syncs.error IS 'Why planning fails or failed.';
COMMENT ON COLUMN syncs.created_at IS 'When it was asked for.';
COMMENT ON COLUMN syncs.started_at IS 'When its jobs could first run.';
COMMENT ON COLUMN syncs.finished_at IS 'When its last job ended.';

CREATE FUNCTION sincro_announce_sync() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sincro_sync', NEW.id::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sincro_announce_sync() IS 'Tells the event streams which sync changed; one notification per sync and transaction.';
CREATE TRIGGER syncs_announce AFTER INSERT OR UPDATE OF revision ON syncs FOR EACH ROW EXECUTE FUNCTION sincro_announce_sync();

CREATE TABLE jobs (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sync_id       uuid NOT NULL REFERENCES syncs ON DELETE CASCADE,
    channel_id    uuid NOT NULL,
    contact_id    bigint REFERENCES contacts,
    kind          text NOT NULL CONSTRAINT jobs_kind_known CHECK (kind IN ('plan', 'history')),
    address_kind  text CONSTRAINT jobs_address_kind_known CHECK (address_kind IN ('phone', 'lid')),
    address       text,
    state         text NOT NULL CONSTRAINT jobs_state_known CHECK (state IN ('queued', 'delayed', 'awaiting', 'succeeded', 'empty', 'skipped', 'failed', 'cancelled')),
    step          jsonb,
    steps_done    integer NOT NULL DEFAULT 0,
    attempts      integer NOT NULL DEFAULT 0,
    attempt_limit integer NOT NULL,
    next_at       timestamptz,
    reason        text,
    last_error    text,
    fetched       integer NOT NULL DEFAULT 0,
    stored        integer NOT NULL DEFAULT 0,
    duplicate     integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL,
    settled_at    timestamptz,
    CONSTRAINT jobs_one_per_contact_and_address UNIQUE (sync_id, contact_id, address_kind),
    CONSTRAINT jobs_history_is_about_an_address CHECK (kind <> 'history' OR (contact_id IS NOT NULL AND address_kind IS NOT NULL)),
    CONSTRAINT jobs_open_has_a_step CHECK (state NOT IN ('queued', 'delayed', 'awaiting') OR step IS NOT NULL),
    CONSTRAINT jobs_delayed_has_a_time CHECK ((state = 'delayed') = (next_at IS NOT NULL)),
    CONSTRAINT jobs_failed_says_why CHECK (state NOT IN ('failed', 'skipped') OR reason IS NOT NULL),
    CONSTRAINT jobs_messages_add_up CHECK (fetched = stored + duplicate)
);
CREATE UNIQUE INDEX jobs_one_plan_per_sync ON jobs (sync_id) WHERE kind = 'plan';
CREATE INDEX jobs_of_sync ON jobs (sync_id, id);
CREATE INDEX jobs_open ON jobs (sync_id, id) WHERE state IN ('queued', 'delayed', 'awaiting');
CREATE INDEX jobs_of_contact ON jobs (contact_id);
COMMENT ON TABLE jobs IS 'The unit of work: one address of one contact, or one account-level step.';
COMMENT ON COLUMN jobs.id IS 'Row id; all the queue knows of a job.';
COMMENT ON COLUMN jobs.sync_id IS 'The sync it belongs to.';
COMMENT ON COLUMN jobs.channel_id IS 'The sync''s channel, kept here for the claim.';
COMMENT ON COLUMN jobs.contact_id IS 'The contact as it was planned; it may have been merged since.';
COMMENT ON COLUMN jobs.kind IS 'plan or history.';
COMMENT ON COLUMN jobs.address_kind IS 'Which identity it asks.';
COMMENT ON COLUMN jobs.address IS 'The address, as soon as it is known.';
COMMENT ON COLUMN jobs.state IS 'What is settled; a running job is still queued here.';
COMMENT ON COLUMN jobs.step IS 'What the next claim will do.';
COMMENT ON COLUMN jobs.steps_done IS 'Steps settled; with attempts it fences every write.';
COMMENT ON COLUMN jobs.attempts IS 'Last attempt that was settled.';
COMMENT ON COLUMN jobs.attempt_limit IS 'The attempt after which it fails; a retry by hand raises it.';
COMMENT ON COLUMN jobs.next_at IS 'When a delayed job is due.';
COMMENT ON COLUMN jobs.reason IS 'A stable word for why it was skipped or failed.';
COMMENT ON COLUMN jobs.last_error IS 'The last failed call and its cause.';
COMMENT ON COLUMN jobs.fetched IS 'Messages read.';
COMMENT ON COLUMN jobs.stored IS 'New rows among them.';
COMMENT ON COLUMN jobs.duplicate IS 'Rows that were there already.';
COMMENT ON COLUMN jobs.created_at IS 'When it was planned.';
COMMENT ON COLUMN jobs.settled_at IS 'When its last attempt or step was settled.';

CREATE TABLE messages (
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    message_id text NOT NULL,
    contact_id bigint NOT NULL REFERENCES contacts,
    address    text NOT NULL,
    from_me    boolean NOT NULL,
    sent_at    timestamptz NOT NULL,
    kind       text NOT NULL,
    text       text,
    status     text,
    origin     text NOT NULL CONSTRAINT messages_origin_known CHECK (origin IN ('history')),
    payload    json NOT NULL,
    job_id     bigint NOT NULL,
    stored_at  timestamptz NOT NULL,
    PRIMARY KEY (channel_id, message_id)
);
CREATE INDEX messages_of_contact ON messages (contact_id, sent_at, message_id);
CREATE INDEX messages_of_channel ON messages (channel_id, sent_at, message_id);
COMMENT ON TABLE messages IS 'Every message once per channel, whichever address brought it.';
COMMENT ON COLUMN messages.channel_id IS 'The channel.';
COMMENT ON COLUMN messages.message_id IS 'The provider''s id.';
COMMENT ON COLUMN messages.contact_id IS 'The person on the other side.';
COMMENT ON COLUMN messages.address IS 'The address that brought it first.';
COMMENT ON COLUMN messages.from_me IS 'Sent by the channel''s own number.';
COMMENT ON COLUMN messages.sent_at IS 'When it was really sent.';
COMMENT ON COLUMN messages.kind IS 'text, image, video, audio, document, sticker, location, contact, reaction, interactive, deleted, unknown.';
COMMENT ON COLUMN messages.text IS 'Text or caption.';
COMMENT ON COLUMN messages.status IS 'Delivery status in the provider''s words, where it says one.';
COMMENT ON COLUMN messages.origin IS 'history: brought by a sync, not new; automations should leave it alone.';
COMMENT ON COLUMN messages.payload IS 'The provider''s JSON.';
COMMENT ON COLUMN messages.job_id IS 'The job that stored it.';
COMMENT ON COLUMN messages.stored_at IS 'When it was stored.';

CREATE TABLE notices (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    sync_id    uuid REFERENCES syncs ON DELETE CASCADE,
    seq        bigint,
    opens      boolean NOT NULL DEFAULT false,
    jobs       jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL,
    CONSTRAINT notices_about_a_sync_are_numbered UNIQUE (sync_id, seq),
    CONSTRAINT notices_lane_is_whole CHECK ((sync_id IS NULL) = (seq IS NULL))
);
COMMENT ON TABLE notices IS 'What the queue has yet to hear. Written with the change, delivered after the commit, deleted then.';
COMMENT ON COLUMN notices.id IS 'Row id.';
COMMENT ON COLUMN notices.channel_id IS 'Whose rules to tell.';
COMMENT ON COLUMN notices.sync_id IS 'Whose lane changes, if any.';
COMMENT ON COLUMN notices.seq IS 'Position among the notices of the sync, without gaps.';
COMMENT ON COLUMN notices.opens IS 'The first notice of a life of the lane.';
COMMENT ON COLUMN notices.jobs IS 'Jobs that are new in the lane: spans of ids, or ids with their attempts.';
COMMENT ON COLUMN notices.created_at IS 'When the change was made.';

CREATE TABLE idempotency_keys (
    api_key_id   uuid NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    sync_id      uuid NOT NULL,
    answer       json NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (api_key_id, key)
);
CREATE INDEX idempotency_keys_oldest_first ON idempotency_keys (created_at);
COMMENT ON TABLE idempotency_keys IS 'First answers to requests that carried an Idempotency-Key; kept for 24 hours.';
COMMENT ON COLUMN idempotency_keys.api_key_id IS 'Whose request.';
COMMENT ON COLUMN idempotency_keys.key IS 'The header''s value.';
COMMENT ON COLUMN idempotency_keys.request_hash IS 'SHA-256 of path and body: the same key with another request is a mistake.';
COMMENT ON COLUMN idempotency_keys.sync_id IS 'The sync it created.';
COMMENT ON COLUMN idempotency_keys.answer IS 'The body of the first answer.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When.';

CREATE SEQUENCE queue_epoch_numbers;
COMMENT ON SEQUENCE queue_epoch_numbers IS 'An epoch number is never used twice, whatever shard it is for.';

CREATE TABLE queue_epochs (
    namespace  text NOT NULL,
    shard      integer NOT NULL,
    epoch      bigint NOT NULL CONSTRAINT queue_epochs_unique UNIQUE,
    started_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, shard)
);
COMMENT ON TABLE queue_epochs IS 'The life of each shard of the queue. A result that was claimed in an earlier life is refused.';
COMMENT ON COLUMN queue_epochs.namespace IS 'The queue''s namespace in Redis.';
COMMENT ON COLUMN queue_epochs.shard IS 'The shard.';
COMMENT ON COLUMN queue_epochs.epoch IS 'Its current life.';
COMMENT ON COLUMN queue_epochs.started_at IS 'When it was last rebuilt from the ledger.';
