-- Requests to a phone: one at a time for each account at its gateway, however many channels lead to it, and not too many of them.

ALTER TABLE channels ADD COLUMN account bytea;
COMMENT ON COLUMN channels.account IS 'What the credentials name the gateway''s account by, as a keyed hash; none for channels that are older than it and kept their credentials.';

CREATE FUNCTION turn_channel(channel uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT o.id FROM channels o WHERE o.account = c.account AND o.server = c.server ORDER BY o.id LIMIT 1), c.id)
    FROM channels c WHERE c.id = channel
$$;
COMMENT ON FUNCTION turn_channel IS 'Under which channel the turn of a channel''s account is kept: the oldest that leads to the account.';

ALTER TABLE turns ADD COLUMN jitter double precision NOT NULL DEFAULT 0;
COMMENT ON COLUMN turns.channel_id IS 'The channel; the oldest one where several lead to one account.';
COMMENT ON COLUMN turns.jitter IS 'By what share of the usual rest this one is longer; drawn when the turn is given back.';

CREATE TABLE phone_requests (
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    asked_at   timestamptz NOT NULL
);
CREATE INDEX phone_requests_of_channel ON phone_requests (channel_id, asked_at);
COMMENT ON TABLE phone_requests IS 'Requests to phones within the last day.';
COMMENT ON COLUMN phone_requests.channel_id IS 'Whose turn it was.';
COMMENT ON COLUMN phone_requests.asked_at IS 'When it was about to be made.';
