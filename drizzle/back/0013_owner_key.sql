-- Takes migration 0013 back: tasks have the whole address of their owner in a column of its own again. No service may run on it.
BEGIN IMMEDIATE;
DROP INDEX tasks_of_owner;
ALTER TABLE inference_tasks DROP COLUMN owner_id;
ALTER TABLE inference_tasks RENAME COLUMN owner_key TO owner_id;
UPDATE inference_tasks SET owner_id = user_address WHERE owner_id <> '';
CREATE INDEX tasks_of_owner ON inference_tasks (substr("owner_id", -12)) WHERE owner_id is not null;
DELETE FROM __drizzle_migrations WHERE created_at = (SELECT max(created_at) FROM __drizzle_migrations);
COMMIT;
