DROP INDEX `tasks_of_owner`;--> statement-breakpoint
CREATE INDEX `tasks_of_owner` ON `inference_tasks` (substr("owner_id", -12)) WHERE owner_id is not null;
