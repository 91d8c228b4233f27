import type { FeedItem } from '../../wire/watch-events.js'

export type Feed = ReturnType<typeof createFeed>

/** What the turns since the last answer have to tell the feed. While nobody reads it nothing is made for it. */
export function createFeed() {
  let read = false
  let items: FeedItem[] = []
  const followers: ((read: boolean) => void)[] = []
  return {
    isRead: (): boolean => read,
    setRead(now: boolean): void {
      if (read === now) return
      read = now
      items = []
      for (const follow of followers) follow(now)
    },
    /** Told when somebody begins to read it, and when nobody does any more. */
    onRead: (follow: (read: boolean) => void): void => void followers.push(follow),
    push(item: FeedItem): void {
      if (read) items.push(item)
    },
    /** What there is to tell; null: nothing. */
    take(): FeedItem[] | null {
      if (items.length === 0) return null
      const taken = items
      items = []
      return taken
    },
  }
}
