import { statSync, type Stats } from 'node:fs'

/**
 * The mode of a file that other users of this machine can read, such as "0644"; null where they cannot, or there is no such file.
 */
export function openMode(file: string): string | null {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat === undefined ? null : openModeOf(stat)
}

/**
 * The same of an open file. One of another owner, such as a key that root hands to a group, may be read by its group: that is how
 * we read it, and how systemd and Kubernetes hand out secrets. Windows has no such modes.
 */
export function openModeOf({ uid, mode }: Pick<Stats, 'uid' | 'mode'>): string | null {
  if (process.getuid === undefined) return null
  const forbidden = uid === process.getuid() ? 0o077 : 0o007
  return (mode & forbidden) === 0 ? null : `0${(mode & 0o777).toString(8)}`
}

/** Files and folders that are made from here on are for this user alone: they hold prompts, results and keys. */
export const keepFilesPrivate = (): void => void process.umask(0o077)
