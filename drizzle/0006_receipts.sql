CREATE TABLE `result_keys` (
	`node_id` text NOT NULL,
	`node_epoch` integer NOT NULL,
	`since_ms` integer NOT NULL,
	`public_key` text,
	`proven` integer NOT NULL,
	PRIMARY KEY(`node_id`, `node_epoch`, `since_ms`)
);
--> statement-breakpoint
CREATE TABLE `result_signatures` (
	`task_id` text PRIMARY KEY NOT NULL,
	`attempt` integer NOT NULL,
	`signature` text NOT NULL
);
