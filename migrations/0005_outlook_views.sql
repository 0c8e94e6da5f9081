-- The views learn what each sync, job and channel waits for. Columns are only added, at the end.
-- An outlook that is older than 15 seconds says nothing: nobody reports, or there is nothing to report.

CREATE FUNCTION sincro_limited_by(sync_state text, channel_state text, paused_by text, reason text, outlook text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN channel_state = 'paused' AND paused_by = 'session' THEN 'session lost: ' || reason
                WHEN channel_state = 'paused' THEN 'paused by ' || paused_by || ': ' || reason
                WHEN sync_state = 'paused' THEN 'paused by operator: sync'
                -- Nothing stands still any more: the outlook is from before.
                WHEN outlook LIKE 'paused by %' OR outlook LIKE 'session lost: %' THEN NULL
                ELSE outlook END
$$;
COMMENT ON FUNCTION sincro_limited_by(text, text, text, text, text) IS 'What an open sync waits for, in the words of the API: the ledger knows best who stands still, the outlook everything else.';

CREATE OR REPLACE VIEW sync_status AS
SELECT s.id AS sync_id, s.channel_id, c.name AS channel_name, c.provider, s.kind, s.state, s.revision,
       s.jobs_total, s.jobs_queued, s.jobs_delayed, s.jobs_awaiting, s.jobs_succeeded, s.jobs_empty, s.jobs_skipped,
       s.jobs_failed, s.jobs_cancelled, s.messages_fetched, s.messages_stored, s.messages_duplicate,
       CASE WHEN s.jobs_total > 0
            THEN (s.jobs_total - s.jobs_queued - s.jobs_delayed - s.jobs_awaiting)::double precision / s.jobs_total
            WHEN s.finished_at IS NOT NULL THEN 1 ELSE 0 END AS progress,
       s.reason, s.error, s.created_at, s.started_at, s.finished_at,
       extract(epoch FROM coalesce(s.finished_at, now()) - s.started_at)::double precision AS elapsed_seconds,
       w.limited_by,
       CASE WHEN w.limited_by IS NOT DISTINCT FROM o.limited_by AND o.next_at > now() THEN o.next_at END AS next_at,
       CASE WHEN w.limited_by IS NOT DISTINCT FROM o.limited_by AND s.state = 'running' AND o.eta_seconds IS NOT NULL
            THEN greatest(0, o.eta_seconds - extract(epoch FROM now() - o.seen_at)::double precision) END AS eta_seconds,
       CASE WHEN o.running IS NOT NULL THEN least(o.running, s.jobs_queued + s.jobs_delayed) END AS jobs_running,
       o.seen_at AS outlook_at
FROM syncs s JOIN channels c ON c.id = s.channel_id
LEFT JOIN sync_outlooks o ON o.sync_id = s.id AND s.finished_at IS NULL AND o.seen_at > now() - interval '15 seconds'
LEFT JOIN LATERAL (SELECT sincro_limited_by(s.state, c.state, c.paused_by, c.reason, o.limited_by) AS limited_by) w
       ON s.finished_at IS NULL;
COMMENT ON VIEW sync_status IS 'One row per sync: where it is, its jobs by state, its messages, what it waits for and how long it takes. jobs_queued includes jobs at a worker.';

CREATE OR REPLACE VIEW job_status AS
SELECT j.id AS job_id, j.sync_id, j.channel_id, coalesce(c.merged_into, c.id) AS contact_id, j.kind, j.address_kind, j.address,
       CASE WHEN j.state IN ('queued', 'delayed') AND (s.state = 'paused' OR ch.state = 'paused') THEN 'paused'
            WHEN j.state = 'delayed' AND j.next_at <= now() THEN 'queued'
            ELSE j.state END AS state,
       j.attempts, j.attempt_limit, j.reason, j.last_error, j.next_at, j.fetched, j.stored, j.duplicate, j.created_at, j.settled_at,
       CASE WHEN j.state NOT IN ('queued', 'delayed') THEN NULL
            WHEN j.next_at > now() AND s.state <> 'paused' AND ch.state <> 'paused'
            THEN 'retry at ' || to_char(j.next_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
            ELSE sincro_limited_by(s.state, ch.state, ch.paused_by, ch.reason, o.limited_by) END AS waiting_for
FROM jobs j JOIN syncs s ON s.id = j.sync_id JOIN channels ch ON ch.id = j.channel_id LEFT JOIN contacts c ON c.id = j.contact_id
LEFT JOIN sync_outlooks o ON o.sync_id = s.id AND s.finished_at IS NULL AND o.seen_at > now() - interval '15 seconds';
COMMENT ON VIEW job_status IS 'One row per job, the plan job included, with what it waits for. A job at a worker is still queued here.';

CREATE OR REPLACE VIEW channel_status AS
SELECT c.id AS channel_id, c.name, c.provider, c.server, c.state, c.reason, c.rate_per_second, c.burst, c.concurrency,
       (SELECT count(*) FROM contacts k WHERE k.channel_id = c.id AND k.merged_into IS NULL) AS contacts,
       t.open_syncs, t.open_jobs, t.failed_jobs, t.messages_stored, t.last_finished_at, c.created_at,
       c.paused_by, o.effective_rate, o.observed_rate, r.until AS cooldown_until, r.reason AS cooldown_reason, o.running
FROM channels c
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE s.finished_at IS NULL) AS open_syncs,
           coalesce(sum(s.jobs_queued + s.jobs_delayed + s.jobs_awaiting), 0)::bigint AS open_jobs,
           coalesce(sum(s.jobs_failed), 0)::bigint AS failed_jobs,
           coalesce(sum(s.messages_stored), 0)::bigint AS messages_stored,
           max(s.finished_at) AS last_finished_at
    FROM syncs s WHERE s.channel_id = c.id
) t ON true
LEFT JOIN level_outlooks o ON o.key = c.id::text AND o.seen_at > now() - interval '15 seconds'
LEFT JOIN LATERAL (
    SELECT k.until, CASE WHEN k.channel_id IS NULL THEN 'server ' || k.reason ELSE k.reason END AS reason
    FROM cooldowns k WHERE k.key IN (c.id::text, c.server) AND k.until > now() ORDER BY k.until DESC LIMIT 1
) r ON true;
COMMENT ON VIEW channel_status IS 'One row per channel: whether it runs, how fast it may and does, what is open and what it brought.';

CREATE VIEW server_status AS
SELECT c.server, c.provider, c.channels, c.paused_channels, l.matches AS rule, l.rate_per_second, l.burst, l.concurrency,
       o.effective_rate, o.observed_rate, o.running, k.until AS cooldown_until, k.reason AS cooldown_reason
FROM (SELECT server, provider, count(*) AS channels, count(*) FILTER (WHERE state = 'paused') AS paused_channels
      FROM channels GROUP BY server, provider) c
LEFT JOIN LATERAL (
    SELECT r.* FROM limit_rules r WHERE r.matches IN (c.server, c.provider || '/*') ORDER BY r.matches = c.server DESC LIMIT 1
) l ON true
LEFT JOIN level_outlooks o ON o.key = c.server AND o.seen_at > now() - interval '15 seconds'
LEFT JOIN cooldowns k ON k.key = c.server AND k.until > now();
COMMENT ON VIEW server_status IS 'One row per provider server that channels are at: the limit over all of them together, and how fast it is called.';

CREATE VIEW limit_status AS
SELECT r.matches, CASE WHEN r.channel_id IS NULL THEN 'server' ELSE 'channel' END AS level, r.channel_id,
       r.rate_per_second, r.burst, r.concurrency, r.per_minute, r.per_hour, r.per_day, r.weight,
       h.at AS changed_at, h.by AS changed_by
FROM limit_rules r
LEFT JOIN LATERAL (
    SELECT l.at, l.by FROM limit_changes l WHERE l.matches = r.matches AND l.source = 'rule' ORDER BY l.id DESC LIMIT 1
) h ON true;
COMMENT ON VIEW limit_status IS 'One row per rule: what it is about, what it admits, and who changed it last. limit_changes has all changes.';
