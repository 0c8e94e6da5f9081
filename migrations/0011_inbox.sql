-- Webhooks as they came: kept before they are answered, read afterwards.

CREATE TABLE inbox (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id   uuid        NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    state        text        NOT NULL CHECK (state IN ('arriving', 'unread', 'read', 'unreadable')),
    content_type text        NOT NULL,
    verified     boolean     NOT NULL,
    bytes        bigint      NOT NULL DEFAULT 0,
    pieces_done  integer     NOT NULL DEFAULT 0,
    attempts     integer     NOT NULL DEFAULT 0,
    taken_until  timestamptz,
    events       jsonb,
    odd          boolean     NOT NULL DEFAULT false,
    error        text,
    received_at  timestamptz NOT NULL,
    read_at      timestamptz
);
COMMENT ON TABLE inbox IS 'Webhooks of gateways, each as it came.';
COMMENT ON COLUMN inbox.id IS 'Row id, in the order of arrival.';
COMMENT ON COLUMN inbox.channel_id IS 'The channel whose address it came to.';
COMMENT ON COLUMN inbox.content_type IS 'What the gateway says that it is.';
COMMENT ON COLUMN inbox.bytes IS 'Its length.';
COMMENT ON COLUMN inbox.attempts IS 'How often somebody began to read it.';
COMMENT ON COLUMN inbox.error IS 'Why nobody understands it, or why the last try to read it failed.';
COMMENT ON COLUMN inbox.received_at IS 'When it began to arrive.';
COMMENT ON COLUMN inbox.read_at IS 'When all of it was stored, or given up.';
COMMENT ON COLUMN inbox.state IS 'arriving: its bytes are still coming, and nobody was answered; unread; read; unreadable: nobody understands it, it is kept for people.';
COMMENT ON COLUMN inbox.verified IS 'Whether a signature or a secret showed that it comes from the gateway; the channel may have none.';
COMMENT ON COLUMN inbox.pieces_done IS 'So much of it is stored: whoever reads it again after a crash goes on behind that.';
COMMENT ON COLUMN inbox.taken_until IS 'Whoever reads it has it until then.';
COMMENT ON COLUMN inbox.odd IS 'An event in it was not understood: it is kept for people.';
COMMENT ON COLUMN inbox.events IS 'What was in it: names of events, and how many of each.';
CREATE INDEX inbox_unread ON inbox (id) WHERE state = 'unread';
CREATE INDEX inbox_old ON inbox (received_at) WHERE state = 'read' AND NOT odd;
CREATE INDEX inbox_to_come ON inbox (channel_id, received_at) WHERE state IN ('arriving', 'unread');
CREATE INDEX inbox_of_channel ON inbox (channel_id, id);

CREATE TABLE inbox_parts (
    inbox_id bigint  NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    part     integer NOT NULL,
    body     bytea   NOT NULL,
    PRIMARY KEY (inbox_id, part)
);
COMMENT ON TABLE inbox_parts IS 'The bytes of a webhook, in order.';
COMMENT ON COLUMN inbox_parts.inbox_id IS 'The webhook.';
COMMENT ON COLUMN inbox_parts.part IS 'Its place, from 0.';
COMMENT ON COLUMN inbox_parts.body IS 'The bytes.';
-- What is compressed on the way in costs more time than there is.
ALTER TABLE inbox_parts ALTER COLUMN body SET STORAGE EXTERNAL;
