-- Takes migration 0011 back: the former version opens the file, and knows of no cluster. No service may run on it.
BEGIN IMMEDIATE;
DROP TABLE journal_records;
DROP TABLE journal_state;
DELETE FROM __drizzle_migrations WHERE created_at = (SELECT max(created_at) FROM __drizzle_migrations);
COMMIT;
