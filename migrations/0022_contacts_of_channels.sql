-- A new person's row is not checked against its channel one by one: whoever writes it has the channel's lock
-- (docs/decisions/0024-lighter-rows.md). They still go with it, whichever version deletes it.

-- In the order in which everybody takes them.
LOCK TABLE channels, contacts IN ACCESS EXCLUSIVE MODE;
ALTER TABLE contacts DROP CONSTRAINT contacts_channel_id_fkey;

CREATE FUNCTION delete_contacts_of_channel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM contacts WHERE channel_id = OLD.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION delete_contacts_of_channel() IS 'The persons of a channel go with it.';

CREATE TRIGGER contacts_of_channel AFTER DELETE ON channels FOR EACH ROW EXECUTE FUNCTION delete_contacts_of_channel();
