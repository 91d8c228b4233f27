CREATE TABLE `callback_counts` (
	`state` text PRIMARY KEY NOT NULL,
	`callbacks` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `callback_hosts` (
	`host` text PRIMARY KEY NOT NULL,
	`due_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `callback_hosts_due` ON `callback_hosts` (`due_ms`);--> statement-breakpoint
CREATE TABLE `callbacks` (
	`task_id` text PRIMARY KEY NOT NULL,
	`url` text NOT NULL,
	`host` text NOT NULL,
	`signed_for` text,
	`state` text NOT NULL,
	`webhook_id` text,
	`ended_at` integer,
	`tries` integer DEFAULT 0 NOT NULL,
	`due_ms` integer,
	`last_error` text,
	`updated_at` integer NOT NULL,
	CONSTRAINT "callback_state" CHECK("callbacks"."state" in ('waiting', 'pending', 'delivered', 'dead'))
);
--> statement-breakpoint
CREATE INDEX `callbacks_of_host` ON `callbacks` (`host`,`due_ms`) WHERE due_ms is not null;--> statement-breakpoint
CREATE INDEX `callbacks_by_state` ON `callbacks` (`state`,`task_id`);