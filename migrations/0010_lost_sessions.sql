-- A job that loses the session of its channel again, right after that was found, is at fault itself.

ALTER TABLE channels ADD COLUMN session_lost_for bigint;
COMMENT ON COLUMN channels.session_lost_for IS 'The job whose call said last that the session is lost.';
