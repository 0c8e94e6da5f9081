-- Limits at two levels, with rules that change while running; why a channel stands still; rests that outlive the queue.

-- Who or what paused a channel decides how it goes on.
ALTER TABLE channels ADD COLUMN paused_by text
    CONSTRAINT channels_paused_by_known CHECK (paused_by IN ('operator', 'gateway', 'session'));
COMMENT ON COLUMN channels.paused_by IS 'Who or what paused it: operator and gateway wait for a person, session goes on by itself when it is back.';
COMMENT ON COLUMN channels.state IS 'active, or paused: paused_by says who lets it go on.';
COMMENT ON COLUMN channels.rate_per_second IS 'Gateway calls per second over all workers, where no row of limit_rules is about the channel.';
COMMENT ON COLUMN channels.burst IS 'Calls at once after a quiet time, where no row of limit_rules is about the channel.';
COMMENT ON COLUMN channels.concurrency IS 'Calls under way at once over all workers, where no row of limit_rules is about the channel.';

CREATE FUNCTION sincro_paused_by_of(reason text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN reason LIKE 'unauthorized:%' OR reason LIKE 'banned:%' THEN 'gateway' ELSE 'operator' END
$$;
COMMENT ON FUNCTION sincro_paused_by_of(text) IS 'Who paused a channel, told from the reason alone: from before paused_by, or from somebody who leaves it out.';

UPDATE channels SET paused_by = sincro_paused_by_of(reason) WHERE state = 'paused';
ALTER TABLE channels ADD CONSTRAINT channels_paused_says_by_whom CHECK ((state = 'paused') = (paused_by IS NOT NULL));

-- Binaries from before this migration may run beside it: they set state and reason and know nothing of paused_by.
CREATE FUNCTION sincro_fill_paused_by() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'paused' THEN
        NEW.paused_by := NULL;
    ELSIF NEW.paused_by IS NOT DISTINCT FROM OLD.paused_by THEN
        NEW.paused_by := sincro_paused_by_of(NEW.reason);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sincro_fill_paused_by() IS 'Whoever pauses or resumes a channel without saying who it is gets paused_by filled in.';
CREATE TRIGGER channels_fill_paused_by BEFORE UPDATE OF state ON channels
    FOR EACH ROW EXECUTE FUNCTION sincro_fill_paused_by();

CREATE TABLE limit_rules (
    matches         text PRIMARY KEY,
    channel_id      uuid REFERENCES channels ON DELETE CASCADE,
    rate_per_second double precision NOT NULL CONSTRAINT limit_rules_rate_in_bounds CHECK (rate_per_second > 0 AND rate_per_second <= 10000),
    burst           integer NOT NULL CONSTRAINT limit_rules_burst_in_bounds CHECK (burst BETWEEN 1 AND 1000),
    concurrency     integer NOT NULL CONSTRAINT limit_rules_concurrency_in_bounds CHECK (concurrency BETWEEN 1 AND 1000),
    per_minute      integer CONSTRAINT limit_rules_per_minute_in_bounds CHECK (per_minute BETWEEN 1 AND 100000),
    per_hour        integer CONSTRAINT limit_rules_per_hour_in_bounds CHECK (per_hour BETWEEN 1 AND 100000),
    per_day         integer CONSTRAINT limit_rules_per_day_in_bounds CHECK (per_day BETWEEN 1 AND 100000),
    weight          integer NOT NULL CONSTRAINT limit_rules_weight_in_bounds CHECK (weight BETWEEN 1 AND 100),
    CONSTRAINT limit_rules_about_one_thing CHECK (CASE WHEN channel_id IS NULL THEN matches LIKE '_%/_%' ELSE matches = channel_id::text END)
);
CREATE INDEX limit_rules_of_channel ON limit_rules (channel_id) WHERE channel_id IS NOT NULL;
COMMENT ON TABLE limit_rules IS 'How fast gateways may be called: for provider servers, and for channels instead of their own limits. The most specific rule wins at its level.';
COMMENT ON COLUMN limit_rules.matches IS 'provider/* (each server of that provider), provider/host:port (one server), or a channel''s id.';
COMMENT ON COLUMN limit_rules.channel_id IS 'The channel, when the rule is about one; the rule goes with it.';
COMMENT ON COLUMN limit_rules.rate_per_second IS 'Gateway calls per second over all workers.';
COMMENT ON COLUMN limit_rules.burst IS 'Calls at once after a quiet time.';
COMMENT ON COLUMN limit_rules.concurrency IS 'Calls under way at once over all workers.';
COMMENT ON COLUMN limit_rules.per_minute IS 'Most calls in any 60 seconds, if capped.';
COMMENT ON COLUMN limit_rules.per_hour IS 'Most calls in any 60 minutes, if capped.';
COMMENT ON COLUMN limit_rules.per_day IS 'Most calls in any 24 hours, if capped.';
COMMENT ON COLUMN limit_rules.weight IS 'The share when there is not enough for all, 1 to 100.';

-- No reference to channels: what happened stays known after a channel is gone.
CREATE TABLE limit_changes (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    by      text NOT NULL,
    matches text NOT NULL,
    source  text NOT NULL CONSTRAINT limit_changes_source_known CHECK (source IN ('rule', 'channel')),
    before  jsonb,
    after   jsonb,
    CONSTRAINT limit_changes_change_something CHECK (before IS DISTINCT FROM after)
);
CREATE INDEX limit_changes_of_rules ON limit_changes (id) WHERE source = 'rule';
CREATE INDEX limit_changes_of_match ON limit_changes (matches, id) WHERE source = 'rule';
COMMENT ON TABLE limit_changes IS 'Every change of a limit, for ever: who, when, from what, to what.';
COMMENT ON COLUMN limit_changes.id IS 'Row id. The newest of a rule is the version of all rules together: whoever changes rules about servers waits for the one before.';
COMMENT ON COLUMN limit_changes.at IS 'When.';
COMMENT ON COLUMN limit_changes.by IS 'Who: the name of the API key, or whoever else it was.';
COMMENT ON COLUMN limit_changes.matches IS 'What the limit is about, as in limit_rules.';
COMMENT ON COLUMN limit_changes.source IS 'rule: a row of limit_rules; channel: the limit in the channel itself.';
COMMENT ON COLUMN limit_changes.before IS 'What was admitted; null when there was no such rule.';
COMMENT ON COLUMN limit_changes.after IS 'What is admitted since; null when the rule was taken away.';

CREATE TABLE cooldowns (
    key        text PRIMARY KEY,
    server     text NOT NULL,
    channel_id uuid REFERENCES channels ON DELETE CASCADE,
    until      timestamptz NOT NULL,
    reason     text NOT NULL,
    noted_at   timestamptz NOT NULL,
    CONSTRAINT cooldowns_key_is_who_rests CHECK (key = coalesce(channel_id::text, server))
);
CREATE INDEX cooldowns_of_channel ON cooldowns (channel_id) WHERE channel_id IS NOT NULL;
COMMENT ON TABLE cooldowns IS 'The last rest of each server and channel that a gateway asked for; the queue hears of those not over when it is rebuilt.';
COMMENT ON COLUMN cooldowns.key IS 'Who rests: a channel''s id, or a server.';
COMMENT ON COLUMN cooldowns.server IS 'provider/host:port that rests, or that the resting channel is at.';
COMMENT ON COLUMN cooldowns.channel_id IS 'The channel that rests; null when the whole server does.';
COMMENT ON COLUMN cooldowns.until IS 'Nothing is called before then; never moved to an earlier time.';
COMMENT ON COLUMN cooldowns.reason IS 'The call and the cause.';
COMMENT ON COLUMN cooldowns.noted_at IS 'When it was written down.';
