-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS channels_of_account ON channels (account, server, id) WHERE account IS NOT NULL;
