DROP INDEX `tasks_of_owner`;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `in_run` integer;--> statement-breakpoint
CREATE INDEX `tasks_of_owner` ON `inference_tasks` (`owner_key`) WHERE owner_key > '' AND in_run is null;