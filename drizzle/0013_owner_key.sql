ALTER TABLE `inference_tasks` RENAME COLUMN `owner_id` TO `owner_key`;--> statement-breakpoint
-- By the index: a file without owners need not be read.
UPDATE `inference_tasks` INDEXED BY `tasks_of_owner` SET `owner_key` = substr(`owner_key`, -12) WHERE `owner_key` is not null AND `owner_key` <> '';--> statement-breakpoint
DROP INDEX `tasks_of_owner`;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `owner_id` text GENERATED ALWAYS AS (case when owner_key <> '' then user_address else owner_key end) VIRTUAL;--> statement-breakpoint
CREATE INDEX `tasks_of_owner` ON `inference_tasks` (`owner_key`) WHERE owner_key > '';
