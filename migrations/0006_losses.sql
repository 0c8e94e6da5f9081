-- What has to be known when the queue was lost: which layout its keys have, and how often those were called that have a cap.

-- 2 is the layout of all binaries from before this migration.
ALTER TABLE queue_epochs ADD COLUMN layout integer NOT NULL DEFAULT 2;
COMMENT ON COLUMN queue_epochs.layout IS 'The layout of the queue''s keys; a binary that knows only lower ones leaves the shard alone.';

CREATE TABLE call_counts (
    key      text NOT NULL,
    minute   bigint NOT NULL,
    calls    bigint NOT NULL CONSTRAINT call_counts_not_negative CHECK (calls >= 0),
    rate     double precision NOT NULL,
    works    boolean NOT NULL,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (key, minute)
) WITH (fillfactor = 50);
CREATE INDEX call_counts_oldest_first ON call_counts (noted_at);
COMMENT ON TABLE call_counts IS 'How often servers and channels with a cap were called, by the minute, so that a queue that was lost goes on counting.';
COMMENT ON COLUMN call_counts.key IS 'A channel''s id, or a server.';
COMMENT ON COLUMN call_counts.minute IS 'Minutes since the Unix epoch, by the clock of Redis.';
COMMENT ON COLUMN call_counts.calls IS 'Permits given in that minute, as far as they were counted; never made less.';
COMMENT ON COLUMN call_counts.rate IS 'Calls per second that its rate allowed then.';
COMMENT ON COLUMN call_counts.works IS 'Whether it had work then.';
COMMENT ON COLUMN call_counts.noted_at IS 'When it was last counted, by the clock of the database.';
