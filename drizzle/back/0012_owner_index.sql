-- Takes migration 0012 back: the index of tasks by owner has whole owners again. No service may run on it.
BEGIN IMMEDIATE;
DROP INDEX tasks_of_owner;
CREATE INDEX tasks_of_owner ON inference_tasks (owner_id) WHERE owner_id is not null;
DELETE FROM __drizzle_migrations WHERE created_at = (SELECT max(created_at) FROM __drizzle_migrations);
COMMIT;
