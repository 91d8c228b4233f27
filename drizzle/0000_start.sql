CREATE TABLE `attempts` (
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
	`error` text,
	`prompt_tokens` integer,
	`completion_tokens` integer,
	PRIMARY KEY(`task_id`, `attempt`),
	CONSTRAINT "attempt_end" CHECK("attempts"."end" is null or "attempts"."end" in ('completed', 'failed', 'lost', 'timeout', 'rejected', 'unaccepted', 'superseded'))
);
--> statement-breakpoint
CREATE INDEX `attempts_open` ON `attempts` (`lease_ms`) WHERE ended_ms is null;--> statement-breakpoint
CREATE TABLE `inference_nodes` (
	`node_id` text PRIMARY KEY NOT NULL,
	`endpoint` text NOT NULL,
	`public_key` text NOT NULL,
	`key_proven` integer NOT NULL,
	`node_address` text,
	`status` text NOT NULL,
	`supported_models` text NOT NULL,
	`performance_score` real NOT NULL,
	`max_concurrent_tasks` integer NOT NULL,
	`transport` text NOT NULL,
	`agent` text,
	`last_heartbeat` integer NOT NULL,
	`last_seen_ms` integer NOT NULL,
	`successes` real DEFAULT 0 NOT NULL,
	`failures` real DEFAULT 0 NOT NULL,
	`mean_seconds` real DEFAULT 0 NOT NULL,
	CONSTRAINT "node_status" CHECK("inference_nodes"."status" in ('online', 'offline', 'busy', 'maintenance'))
);
--> statement-breakpoint
CREATE TABLE `inference_tasks` (
	`task_id` text PRIMARY KEY NOT NULL,
	`user_address` text NOT NULL,
	`user_input` text NOT NULL,
	`context` text NOT NULL,
	`fee` integer NOT NULL,
	`nonce` integer NOT NULL,
	`infer_fee` integer NOT NULL,
	`max_infer_time` integer NOT NULL,
	`model_type` text NOT NULL,
	`model_name` text NOT NULL,
	`model_key` text NOT NULL,
	`signed_tx` text,
	`signer_public_key` text,
	`status` text NOT NULL,
	`attempt` integer DEFAULT 0 NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`queued_ms` integer NOT NULL,
	`queue_rank` integer NOT NULL,
	`inference_node_id` text,
	`output` text,
	`confidence` real,
	`completed_at` integer,
	`error` text,
	`txid` text,
	CONSTRAINT "task_status" CHECK("inference_tasks"."status" in ('pending', 'in_progress', 'completed', 'submitted', 'failed', 'timeout'))
);
--> statement-breakpoint
CREATE INDEX `tasks_by_model` ON `inference_tasks` (`model_key`,"queue_rank" desc) WHERE status = 'pending';--> statement-breakpoint
CREATE INDEX `tasks_by_family` ON `inference_tasks` (`model_type`,"queue_rank" desc) WHERE status = 'pending';--> statement-breakpoint
CREATE INDEX `tasks_by_age` ON `inference_tasks` (`queued_ms`,`queue_rank`) WHERE status = 'pending';--> statement-breakpoint
CREATE TABLE `service_clock` (
	`id` integer PRIMARY KEY NOT NULL,
	`alive_ms` integer NOT NULL,
	`alive_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `task_counts` (
	`status` text PRIMARY KEY NOT NULL,
	`tasks` integer NOT NULL
);
