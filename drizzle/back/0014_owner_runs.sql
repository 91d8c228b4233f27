-- Takes migration 0014 back: every task of an owner is in the index of tasks by owner again. No service may run on it.
BEGIN IMMEDIATE;
DROP INDEX tasks_of_owner;
ALTER TABLE inference_tasks DROP COLUMN in_run;
CREATE INDEX tasks_of_owner ON inference_tasks (owner_key) WHERE owner_key > '';
DELETE FROM __drizzle_migrations WHERE created_at = (SELECT max(created_at) FROM __drizzle_migrations);
COMMIT;
