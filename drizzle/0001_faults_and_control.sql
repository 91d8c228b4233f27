CREATE TABLE `reopenings` (
	`task_id` text NOT NULL,
	`attempt` integer NOT NULL,
	`status` text NOT NULL,
	`error` text,
	`ended_at` integer NOT NULL,
	`reopened_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `reopenings_of_task` ON `reopenings` (`task_id`);--> statement-breakpoint
PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_attempts` (
	`task_id` text NOT NULL,
	`attempt` integer NOT NULL,
	`node_id` text NOT NULL,
	`polled` integer NOT NULL,
	`handouts` integer NOT NULL,
	`assigned_ms` integer NOT NULL,
	`accepted_ms` integer,
	`lease_ms` integer NOT NULL,
	`ended_ms` integer,
	`end` text,
	`fault` text,
	`error` text,
	`assigned_at` integer DEFAULT 0 NOT NULL,
	`accepted_at` integer,
	`ended_at` integer,
	`prompt_tokens` integer,
	`completion_tokens` integer,
	PRIMARY KEY(`task_id`, `attempt`),
	CONSTRAINT "attempt_fault" CHECK("__new_attempts"."fault" is null or "__new_attempts"."fault" in ('node', 'task', 'network', 'coordinator')),
	CONSTRAINT "attempt_end" CHECK("__new_attempts"."end" is null or "__new_attempts"."end" in ('completed', 'failed', 'lost', 'timeout', 'rejected', 'unaccepted', 'superseded', 'cancelled'))
);
--> statement-breakpoint
INSERT INTO `__new_attempts`("task_id", "attempt", "node_id", "polled", "handouts", "assigned_ms", "accepted_ms", "lease_ms", "ended_ms", "end", "fault", "error", "assigned_at", "accepted_at", "ended_at", "prompt_tokens", "completion_tokens") SELECT "task_id", "attempt", "node_id", "polled", "handouts", "assigned_ms", "accepted_ms", "lease_ms", "ended_ms", "end", NULL, "error", coalesce((SELECT `alive_at` - `alive_ms` / 1000 FROM `service_clock`) + `assigned_ms` / 1000, 0), (SELECT `alive_at` - `alive_ms` / 1000 FROM `service_clock`) + `accepted_ms` / 1000, (SELECT `alive_at` - `alive_ms` / 1000 FROM `service_clock`) + `ended_ms` / 1000, "prompt_tokens", "completion_tokens" FROM `attempts`;--> statement-breakpoint
DROP TABLE `attempts`;--> statement-breakpoint
ALTER TABLE `__new_attempts` RENAME TO `attempts`;--> statement-breakpoint
PRAGMA foreign_keys=ON;--> statement-breakpoint
CREATE INDEX `attempts_open` ON `attempts` (`lease_ms`) WHERE ended_ms is null;--> statement-breakpoint
ALTER TABLE `inference_nodes` ADD `failures_in_row` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `inference_nodes` ADD `cooled_until_ms` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `inference_nodes` ADD `drained` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `retried_after` integer DEFAULT 0 NOT NULL;