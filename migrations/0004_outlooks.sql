-- What only the queue knows, written down about once a second by one worker, so that SQL can show it.
-- Rows change all the time and are no history: room on their pages keeps the changes there (HOT), and no index
-- beside the primary key has to follow.

CREATE TABLE sync_outlooks (
    sync_id     uuid PRIMARY KEY REFERENCES syncs ON DELETE CASCADE,
    running     bigint NOT NULL,
    delayed     bigint NOT NULL,
    limited_by  text,
    next_at     timestamptz,
    eta_seconds double precision,
    seen_at     timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE sync_outlooks IS 'Open syncs as the queue sees them, for sync_status and job_status.';
COMMENT ON COLUMN sync_outlooks.sync_id IS 'The sync.';
COMMENT ON COLUMN sync_outlooks.running IS 'Its jobs at workers.';
COMMENT ON COLUMN sync_outlooks.delayed IS 'Its jobs that wait for their next attempt.';
COMMENT ON COLUMN sync_outlooks.limited_by IS 'What holds it back, if anything does.';
COMMENT ON COLUMN sync_outlooks.next_at IS 'When its next job can start, as far as it can be told.';
COMMENT ON COLUMN sync_outlooks.eta_seconds IS 'Seconds from seen_at to its end, as far as it can be told.';
COMMENT ON COLUMN sync_outlooks.seen_at IS 'When it was so, by the clock of the database.';

CREATE TABLE level_outlooks (
    key             text PRIMARY KEY,
    level           text NOT NULL CONSTRAINT level_outlooks_level_known CHECK (level IN ('server', 'channel')),
    configured_rate double precision,
    effective_rate  double precision,
    observed_rate   double precision NOT NULL,
    running         bigint NOT NULL,
    cooldown_until  timestamptz,
    cooldown_reason text,
    seen_at         timestamptz NOT NULL,
    CONSTRAINT level_outlooks_cooldown_says_why CHECK ((cooldown_until IS NULL) = (cooldown_reason IS NULL))
) WITH (fillfactor = 50);
COMMENT ON TABLE level_outlooks IS 'Servers and channels with work as the queue sees them, for channel_status and server_status.';
COMMENT ON COLUMN level_outlooks.key IS 'A channel''s id, or a server.';
COMMENT ON COLUMN level_outlooks.level IS 'server or channel.';
COMMENT ON COLUMN level_outlooks.configured_rate IS 'Calls per second that the limit allows; null without a limit.';
COMMENT ON COLUMN level_outlooks.effective_rate IS 'Calls per second after what the gateway answered lately; never above the configured rate; null without a limit.';
COMMENT ON COLUMN level_outlooks.observed_rate IS 'Calls per second that were made lately.';
COMMENT ON COLUMN level_outlooks.running IS 'Jobs at workers.';
COMMENT ON COLUMN level_outlooks.cooldown_until IS 'Until when it rests, if it does.';
COMMENT ON COLUMN level_outlooks.cooldown_reason IS 'Why it rests.';
COMMENT ON COLUMN level_outlooks.seen_at IS 'When it was so, by the clock of the database.';
