CREATE TABLE `chain_blocks` (
	`index_block_hash` text PRIMARY KEY NOT NULL,
	`parent` text NOT NULL,
	`height` integer NOT NULL,
	`burn_height` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `chain_blocks_by_height` ON `chain_blocks` (`height`);--> statement-breakpoint
CREATE TABLE `payee_delegations` (
	`node_key` text PRIMARY KEY NOT NULL,
	`address` text NOT NULL,
	`public_key` text NOT NULL,
	`signature` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `settlement_counts` (
	`state` text PRIMARY KEY NOT NULL,
	`settlements` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `settlement_intake` (
	`id` integer PRIMARY KEY NOT NULL,
	`entries` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `settlements` (
	`task_id` text PRIMARY KEY NOT NULL,
	`payee` text,
	`output_hash` text NOT NULL,
	`state` text NOT NULL,
	`tries` integer DEFAULT 0 NOT NULL,
	`due_ms` integer,
	`last_error` text,
	`height` integer,
	`index_block_hash` text,
	`final` integer DEFAULT 0 NOT NULL,
	`posted_at` integer,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	CONSTRAINT "settlement_state" CHECK("settlements"."state" in ('ready', 'posted', 'lost', 'mined', 'mined_unverified', 'hijacked', 'replaced', 'aborted', 'rejected', 'confirmed'))
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `settlements_due` ON `settlements` (`due_ms`) WHERE due_ms is not null;--> statement-breakpoint
CREATE INDEX `settlements_wrong` ON `settlements` (`state`) WHERE state = 'hijacked' OR state = 'rejected' OR state = 'replaced' OR state = 'aborted';--> statement-breakpoint
CREATE TABLE `settlement_sightings` (
	`task_id` text NOT NULL,
	`index_block_hash` text NOT NULL,
	`height` integer NOT NULL,
	`found` text NOT NULL,
	PRIMARY KEY(`task_id`, `index_block_hash`),
	CONSTRAINT "sighting_found" CHECK("settlement_sightings"."found" in ('mined', 'aborted', 'hijacked', 'replaced'))
);
--> statement-breakpoint
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
--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `paid_nonce` integer;--> statement-breakpoint
ALTER TABLE `inference_tasks` ADD `holds_payment` integer;--> statement-breakpoint
CREATE UNIQUE INDEX `tasks_by_payment` ON `inference_tasks` (`user_address`,`paid_nonce`) WHERE holds_payment = 1;--> statement-breakpoint
CREATE INDEX `tasks_by_txid` ON `inference_tasks` (`txid`) WHERE paid_nonce is not null;