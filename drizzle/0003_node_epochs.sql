CREATE TABLE `forgotten_nodes` (
	`node_id` text PRIMARY KEY NOT NULL,
	`public_key` text NOT NULL,
	`kept_until_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `forgotten_nodes_by_time` ON `forgotten_nodes` (`kept_until_ms`);--> statement-breakpoint
CREATE TABLE `node_epoch` (
	`id` integer PRIMARY KEY NOT NULL,
	`last` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `attempts` ADD `node_epoch` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `inference_nodes` ADD `epoch` integer DEFAULT 0 NOT NULL;