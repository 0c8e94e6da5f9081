-- A contact list is written down piece by piece before its jobs are planned, so that no process has to hold it whole and a
-- crash goes on where it was. Rows live from the gateway's answer until their jobs are written.

CREATE TABLE listed_pages (
    sync_id  uuid NOT NULL REFERENCES syncs ON DELETE CASCADE,
    attempt  integer NOT NULL,
    place    integer NOT NULL,
    contacts bigint[] NOT NULL,
    pairings jsonb,
    PRIMARY KEY (sync_id, attempt, place)
);
COMMENT ON TABLE listed_pages IS 'Pieces of contact lists whose jobs are not planned yet.';
COMMENT ON COLUMN listed_pages.sync_id IS 'The sync that is being planned.';
COMMENT ON COLUMN listed_pages.attempt IS 'The attempt of the plan job that read the list: two answers never mix.';
COMMENT ON COLUMN listed_pages.place IS 'Position within the list, from 0.';
COMMENT ON COLUMN listed_pages.contacts IS 'Who is in it, in the order of the list; some may have been merged since.';
COMMENT ON COLUMN listed_pages.pairings IS 'Addresses that belong together, until they are joined; null when there are none.';
