DROP INDEX `tasks_of_owner`;--> statement-breakpoint
ALTER TABLE `inference_tasks` RENAME COLUMN `owner_id` TO `owner_key`;--> statement-breakpoint
UPDATE `inference_tasks` SET `owner_key` = substr(`owner_key`, -12) WHERE `owner_key` <> '';--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `owner_id` text GENERATED ALWAYS AS (case when owner_key <> '' then user_address else owner_key end) VIRTUAL;--> statement-breakpoint
CREATE INDEX `tasks_of_owner` ON `inference_tasks` (`owner_key`) WHERE owner_key > '';
