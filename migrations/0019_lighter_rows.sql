-- What cost most where messages and jobs are written, and is held otherwise (docs/decisions/0024-lighter-rows.md).

ALTER TABLE messages DROP CONSTRAINT messages_channel_id_fkey, DROP CONSTRAINT messages_contact_id_fkey;
ALTER TABLE jobs DROP CONSTRAINT jobs_sync_id_fkey, DROP CONSTRAINT jobs_contact_id_fkey;
-- Room for the second version of a row beside the first one: then no index has to hear of it.
ALTER TABLE jobs SET (fillfactor = 60);
