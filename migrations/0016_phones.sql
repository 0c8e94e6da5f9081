-- Requests to a phone: one at a time for each account at its gateway, however many channels lead to it, and not too many of them.

ALTER TABLE channels ADD COLUMN account bytea;
COMMENT ON COLUMN channels.account IS 'What the credentials name the gateway''s account by, as a keyed hash; none for channels that are older than it and kept their credentials.';

CREATE FUNCTION account_of(channel uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(encode(account, 'hex') || '@' || server, id::text) FROM channels WHERE id = channel
$$;
COMMENT ON FUNCTION account_of IS 'What tells the account apart that a channel leads to; its own id where nobody knows.';

CREATE TABLE account_turns (
    account  text PRIMARY KEY,
    job_id   bigint,
    asked_at timestamptz,
    free_at  timestamptz NOT NULL,
    jitter   double precision NOT NULL DEFAULT 0,
    sync_id  uuid,
    silences integer NOT NULL DEFAULT 0,
    CONSTRAINT account_turns_asked_by_a_job CHECK (asked_at IS NULL OR job_id IS NOT NULL)
);
CREATE INDEX account_turns_of_job ON account_turns (job_id) WHERE job_id IS NOT NULL;
COMMENT ON TABLE account_turns IS 'One request per account is under way whose answer could not be told from another''s, or that goes to the phone.';
COMMENT ON COLUMN account_turns.account IS 'account_of a channel.';
COMMENT ON COLUMN account_turns.job_id IS 'Whose turn it is; none between two.';
COMMENT ON COLUMN account_turns.asked_at IS 'When its request was written down; none while it has made none.';
COMMENT ON COLUMN account_turns.free_at IS 'Since when nobody has it.';
COMMENT ON COLUMN account_turns.jitter IS 'By what share of the usual rest this one is longer; drawn when the turn is given back.';
COMMENT ON COLUMN account_turns.sync_id IS 'The sync that had it last.';
COMMENT ON COLUMN account_turns.silences IS 'Requests of that sync to the phone, in a row, that nothing came of.';
INSERT INTO account_turns (account, job_id, asked_at, free_at, sync_id, silences)
SELECT account_of(channel_id), job_id, CASE WHEN job_id IS NOT NULL THEN free_at END, free_at, sync_id, silences FROM turns;
COMMENT ON TABLE turns IS 'Not used any more: versions before account_turns keep the turns of their channels here.';

CREATE TABLE phone_requests (
    token    uuid PRIMARY KEY,
    account  text NOT NULL,
    asked_at timestamptz NOT NULL
);
CREATE INDEX phone_requests_of_account ON phone_requests (account, asked_at);
COMMENT ON TABLE phone_requests IS 'Requests to phones within the last day.';
COMMENT ON COLUMN phone_requests.token IS 'The execution that made it.';
COMMENT ON COLUMN phone_requests.account IS 'Whose phone it is.';
COMMENT ON COLUMN phone_requests.asked_at IS 'When it was about to be made.';

CREATE FUNCTION bears_a_request(phone text, moment timestamptz, per_hour bigint, per_day bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT count(*) < per_day AND count(*) FILTER (WHERE asked_at > moment - interval '1 hour') < per_hour
    FROM phone_requests WHERE account = phone AND asked_at > moment - interval '1 day'
$$;
COMMENT ON FUNCTION bears_a_request IS 'Whether the phone of an account can be asked for something more.';

ALTER TABLE awaiting_jobs ADD COLUMN urgent boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN awaiting_jobs.urgent IS 'Whether somebody waits for it: it goes ahead of the jobs of channel syncs.';
