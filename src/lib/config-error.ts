/** The configuration is wrong; the message is one line that names the file, the key and what was expected. Exit code 2. */
export class ConfigError extends Error {}
