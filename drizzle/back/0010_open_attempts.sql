-- Takes migration 0010 back: open attempts get rows again, and the former version opens the file. No service may run on it.
BEGIN IMMEDIATE;
DROP VIEW attempts;
INSERT INTO ended_attempts (task_id, attempt, node_id, polled, handouts, assigned_ms, accepted_ms, lease_ms, assigned_at, accepted_at, node_epoch)
  SELECT task_id, attempt, node_id, polled, handouts, assigned_ms, accepted_ms, lease_ms, assigned_at, accepted_at, node_epoch FROM open_attempts;
DROP VIEW open_attempts;
DROP INDEX tasks_in_progress;
ALTER TABLE ended_attempts RENAME TO attempts;
CREATE INDEX attempts_open ON attempts (lease_ms) WHERE ended_ms is null;
ALTER TABLE inference_tasks DROP COLUMN open_lease_ms;
ALTER TABLE inference_tasks DROP COLUMN open_polled;
ALTER TABLE inference_tasks DROP COLUMN open_handouts;
ALTER TABLE inference_tasks DROP COLUMN open_node_epoch;
ALTER TABLE inference_tasks DROP COLUMN open_assigned_ms;
ALTER TABLE inference_tasks DROP COLUMN open_assigned_at;
ALTER TABLE inference_tasks DROP COLUMN open_begun;
ALTER TABLE inference_tasks DROP COLUMN open_accepted_ms;
ALTER TABLE inference_tasks DROP COLUMN open_accepted_at;
DELETE FROM __drizzle_migrations WHERE created_at = (SELECT max(created_at) FROM __drizzle_migrations);
COMMIT;
