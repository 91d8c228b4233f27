CREATE TABLE `data_keys` (
	`kid` text PRIMARY KEY NOT NULL,
	`sealing` integer NOT NULL,
	`walked_seq` integer NOT NULL,
	`last_seq` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `audit` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at_ms` integer NOT NULL,
	`actor` text NOT NULL,
	`address` text,
	`action` text NOT NULL,
	`subject` text,
	`detail` text NOT NULL,
	`request_id` text,
	`outcome` text NOT NULL,
	`prev_hash` text NOT NULL,
	`hash` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `node_keys` (
	`public_key` text PRIMARY KEY NOT NULL,
	`state` text NOT NULL,
	`node_id` text,
	`invited_by` text,
	`slots_max` integer,
	`first_seen` integer NOT NULL,
	`changed_at` integer NOT NULL,
	`changed_by` text NOT NULL,
	`reason` text,
	`replaced_by` text,
	`good_results` integer DEFAULT 0 NOT NULL,
	`good_since` integer,
	CONSTRAINT "node_key_state" CHECK("node_keys"."state" in ('enrolled', 'banned'))
);
--> statement-breakpoint
CREATE UNIQUE INDEX `node_keys_of_node` ON `node_keys` (`node_id`) WHERE state = 'enrolled' and node_id is not null;--> statement-breakpoint
CREATE TABLE `quota_days` (
	`owner` text NOT NULL,
	`day` integer NOT NULL,
	`tasks` integer NOT NULL,
	`fee` integer NOT NULL,
	`bytes` integer NOT NULL,
	PRIMARY KEY(`day`, `owner`)
);
--> statement-breakpoint
CREATE TABLE `tokens` (
	`id` text PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`name` text NOT NULL,
	`hash` text NOT NULL,
	`owners` text,
	`scopes` text NOT NULL,
	`limits` text NOT NULL,
	`cidrs` text,
	`node_id` text,
	`uses_left` integer,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL,
	`expires_at` integer,
	`revoked_at` integer,
	`replaced_by` text,
	`last_used_at` integer,
	CONSTRAINT "token_kind" CHECK("tokens"."kind" in ('adm', 'opr', 'usr', 'viw', 'met', 'nod', 'inv'))
);
--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `owner_id` text;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `is_encrypted` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `text_keys` text;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `texts_digest` text;--> statement-breakpoint
CREATE INDEX `tasks_of_owner` ON `inference_tasks` (`owner_id`) WHERE owner_id is not null;