ALTER TABLE `attempts` RENAME TO `ended_attempts`;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `open_lease_ms` integer;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `open_polled` integer;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `open_handouts` integer;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `open_node_epoch` integer;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `open_assigned_ms` integer;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `open_assigned_at` integer;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `open_begun` integer;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `open_accepted_ms` integer;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `open_accepted_at` integer;--> statement-breakpoint
-- An open attempt becomes columns of its task, while that is in progress with it. Found by the index of open attempts: however many
-- tasks are stored, only these are written.
UPDATE `inference_tasks` SET `open_lease_ms` = a.`lease_ms`, `open_polled` = a.`polled`, `open_handouts` = a.`handouts`, `open_node_epoch` = a.`node_epoch`,
  `open_assigned_ms` = a.`assigned_ms`, `open_assigned_at` = a.`assigned_at`, `open_begun` = a.`accepted_ms` IS NOT NULL,
  `open_accepted_ms` = coalesce(a.`accepted_ms`, a.`assigned_ms`), `open_accepted_at` = coalesce(a.`accepted_at`, a.`assigned_at`)
FROM `ended_attempts` AS a INDEXED BY `attempts_open`
WHERE a.`ended_ms` IS NULL AND `inference_tasks`.`task_id` = a.`task_id` AND `inference_tasks`.`status` = 'in_progress'
  AND `inference_tasks`.`attempt` = a.`attempt` AND `inference_tasks`.`inference_node_id` = a.`node_id`;--> statement-breakpoint
DELETE FROM `ended_attempts` INDEXED BY `attempts_open` WHERE `ended_ms` IS NULL
  AND EXISTS (SELECT 1 FROM `inference_tasks` AS t WHERE t.`task_id` = `ended_attempts`.`task_id` AND t.`attempt` = `ended_attempts`.`attempt` AND t.`open_lease_ms` IS NOT NULL);--> statement-breakpoint
-- What is left contradicts its task: somebody has changed the file. The service would end it so when its lease is over.
UPDATE `ended_attempts` INDEXED BY `attempts_open` SET `end` = 'superseded', `ended_at` = coalesce((SELECT `alive_at` FROM `service_clock`), `assigned_at`),
  `ended_ms` = max(`assigned_ms`, coalesce(`accepted_ms`, 0), coalesce((SELECT `alive_ms` FROM `service_clock`), 0)) WHERE `ended_ms` IS NULL;--> statement-breakpoint
DROP INDEX `attempts_open`;--> statement-breakpoint
CREATE INDEX `tasks_in_progress` ON `inference_tasks` (`open_lease_ms`) WHERE open_lease_ms is not null;--> statement-breakpoint
CREATE VIEW `open_attempts` AS SELECT "inference_tasks"."task_id" AS task_id, "inference_tasks"."attempt" AS attempt, "inference_tasks"."inference_node_id" AS node_id, "inference_tasks"."open_polled" AS polled,
    "inference_tasks"."open_handouts" AS handouts, "inference_tasks"."open_assigned_ms" AS assigned_ms,
    CASE "inference_tasks"."open_begun" WHEN 1 THEN "inference_tasks"."open_accepted_ms" END AS accepted_ms, "inference_tasks"."open_lease_ms" AS lease_ms,
    "inference_tasks"."open_assigned_at" AS assigned_at, CASE "inference_tasks"."open_begun" WHEN 1 THEN "inference_tasks"."open_accepted_at" END AS accepted_at,
    "inference_tasks"."open_node_epoch" AS node_epoch
  FROM "inference_tasks" WHERE "inference_tasks"."open_lease_ms" IS NOT NULL;--> statement-breakpoint
CREATE VIEW `attempts` AS SELECT "ended_attempts"."task_id", "ended_attempts"."attempt", "ended_attempts"."node_id", "ended_attempts"."polled", "ended_attempts"."handouts", "ended_attempts"."assigned_ms", "ended_attempts"."accepted_ms", "ended_attempts"."lease_ms",
    "ended_attempts"."ended_ms", "ended_attempts"."end", "ended_attempts"."fault", "ended_attempts"."error", "ended_attempts"."assigned_at", "ended_attempts"."accepted_at", "ended_attempts"."ended_at", "ended_attempts"."prompt_tokens",
    "ended_attempts"."completion_tokens", "ended_attempts"."node_epoch", "ended_attempts"."first_word_ms"
  FROM "ended_attempts"
  UNION ALL SELECT "open_attempts"."task_id", "open_attempts"."attempt", "open_attempts"."node_id", "open_attempts"."polled", "open_attempts"."handouts", "open_attempts"."assigned_ms", "open_attempts"."accepted_ms", "open_attempts"."lease_ms",
    NULL, NULL, NULL, NULL, "open_attempts"."assigned_at", "open_attempts"."accepted_at", NULL, NULL, NULL, "open_attempts"."node_epoch", NULL
  FROM "open_attempts";