ALTER TABLE `inference_tasks` ADD `params` text;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `needs` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `result_notes` text;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `error_code` text;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `join_key` text;--> statement-breakpoint
CREATE INDEX `tasks_to_join` ON `inference_tasks` (`join_key`) WHERE join_key is not null;