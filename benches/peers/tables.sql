-- Where the peers put what Sincro puts into its tables `messages` and `jobs`: the same columns where they mean something without a
-- sync, the same keys and indexes on the messages, none of the rest.
CREATE TABLE messages (
    channel_id uuid NOT NULL,
    message_id text NOT NULL,
    address    text NOT NULL,
    from_me    boolean NOT NULL,
    sent_at    timestamptz NOT NULL,
    kind       text NOT NULL,
    text       text,
    payload    json NOT NULL,
    job_id     bigint NOT NULL,
    stored_at  timestamptz NOT NULL,
    PRIMARY KEY (channel_id, message_id)
);
CREATE INDEX messages_of_contact ON messages (channel_id, address, sent_at, message_id);
CREATE INDEX messages_of_channel ON messages (channel_id, sent_at, message_id);

CREATE TABLE results (
    job_id     bigint PRIMARY KEY,
    channel_id uuid NOT NULL,
    address    text NOT NULL,
    state      text NOT NULL,
    fetched    integer NOT NULL,
    stored     integer NOT NULL,
    settled_at timestamptz NOT NULL
);
