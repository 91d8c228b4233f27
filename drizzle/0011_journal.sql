CREATE TABLE `journal_records` (
	`n` integer PRIMARY KEY NOT NULL,
	`epoch` integer NOT NULL,
	`kind` text NOT NULL,
	`body` blob NOT NULL,
	`seq` integer,
	CONSTRAINT "journal_record_kind" CHECK("journal_records"."kind" in ('turn', 'fence'))
);
--> statement-breakpoint
CREATE TABLE `journal_state` (
	`id` integer PRIMARY KEY NOT NULL,
	`journal_id` text NOT NULL,
	`role` text NOT NULL,
	`owner_url` text NOT NULL,
	`stored_n` integer NOT NULL,
	`stored_seq` integer NOT NULL
);
