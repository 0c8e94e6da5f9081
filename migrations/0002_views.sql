-- What dashboards read. Columns are only ever added; docs/views.md describes them one by one.

CREATE VIEW sync_status AS
SELECT s.id AS sync_id, s.channel_id, c.name AS channel_name, c.provider, s.kind, s.state, s.revision,
       s.jobs_total, s.jobs_queued, s.jobs_delayed, s.jobs_awaiting, s.jobs_succeeded, s.jobs_empty, s.jobs_skipped,
       s.jobs_failed, s.jobs_cancelled, s.messages_fetched, s.messages_stored, s.messages_duplicate,
       CASE WHEN s.jobs_total > 0
            THEN (s.jobs_total - s.jobs_queued - s.jobs_delayed - s.jobs_awaiting)::double precision / s.jobs_total
            WHEN s.finished_at IS NOT NULL THEN 1 ELSE 0 END AS progress,
       s.reason, s.error, s.created_at, s.started_at, s.finished_at,
       extract(epoch FROM coalesce(s.finished_at, now()) - s.started_at)::double precision AS elapsed_seconds
FROM syncs s JOIN channels c ON c.id = s.channel_id;
COMMENT ON VIEW sync_status IS 'One row per sync: where it is, its jobs by state, its messages. jobs_queued includes jobs at a worker.';

CREATE VIEW job_status AS
SELECT j.id AS job_id, j.sync_id, j.channel_id, coalesce(c.merged_into, c.id) AS contact_id, j.kind, j.address_kind, j.address,
       CASE WHEN j.state IN ('queued', 'delayed') AND (s.state = 'paused' OR ch.state = 'paused') THEN 'paused'
            WHEN j.state = 'delayed' AND j.next_at <= now() THEN 'queued'
            ELSE j.state END AS state,
       j.attempts, j.attempt_limit, j.reason, j.last_error, j.next_at, j.fetched, j.stored, j.duplicate, j.created_at, j.settled_at
FROM jobs j JOIN syncs s ON s.id = j.sync_id JOIN channels ch ON ch.id = j.channel_id LEFT JOIN contacts c ON c.id = j.contact_id;
COMMENT ON VIEW job_status IS 'One row per job, the plan job included. A job at a worker is still queued here.';

CREATE VIEW channel_status AS
SELECT c.id AS channel_id, c.name, c.provider, c.server, c.state, c.reason, c.rate_per_second, c.burst, c.concurrency,
       (SELECT count(*) FROM contacts k WHERE k.channel_id = c.id AND k.merged_into IS NULL) AS contacts,
       t.open_syncs, t.open_jobs, t.failed_jobs, t.messages_stored, t.last_finished_at, c.created_at
FROM channels c
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE s.finished_at IS NULL) AS open_syncs,
           coalesce(sum(s.jobs_queued + s.jobs_delayed + s.jobs_awaiting), 0)::bigint AS open_jobs,
           coalesce(sum(s.jobs_failed), 0)::bigint AS failed_jobs,
           coalesce(sum(s.messages_stored), 0)::bigint AS messages_stored,
           max(s.finished_at) AS last_finished_at
    FROM syncs s WHERE s.channel_id = c.id
) t ON true;
COMMENT ON VIEW channel_status IS 'One row per channel: whether it runs, how fast it may, what is open and what it brought.';

CREATE VIEW contact_receipts AS
SELECT j.sync_id, j.channel_id, j.id AS job_id, coalesce(c.merged_into, c.id) AS contact_id, coalesce(m.name, c.name) AS contact_name,
       j.address_kind, j.address, CASE WHEN j.state = 'skipped' THEN 0 ELSE s.messages_wanted END AS expected,
       j.fetched, j.stored, j.duplicate, j.state AS outcome, j.reason, j.last_error, j.attempts, j.settled_at
FROM jobs j JOIN syncs s ON s.id = j.sync_id JOIN contacts c ON c.id = j.contact_id LEFT JOIN contacts m ON m.id = c.merged_into
WHERE j.kind <> 'plan';
COMMENT ON VIEW contact_receipts IS 'One row per sync, contact and address: what was expected, fetched, stored, already there, skipped and why.';

CREATE VIEW failure_reasons AS
SELECT j.sync_id, j.channel_id, j.reason, count(*) AS jobs, min(j.last_error) AS example, max(j.settled_at) AS last_seen
FROM jobs j WHERE j.state = 'failed'
GROUP BY j.sync_id, j.channel_id, j.reason;
COMMENT ON VIEW failure_reasons IS 'Failed jobs counted by sync and reason, with one example each.';
