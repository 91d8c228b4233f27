CREATE TABLE `clock_offsets` (
	`from_ms` integer PRIMARY KEY NOT NULL,
	`to_wall` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `attempts` ADD `first_word_ms` integer;