type Step<T> = { value: T } | { error: Error } | 'end'

/** Values on their way from who makes them to who reads them, in order, with an end or an error behind the last. */
export function createQueue<T>() {
  const waiting: T[] = []
  const readers: ((step: Step<T>) => void)[] = []
  let end: Step<T> | null = null
  /** Nobody reads any more. */
  let left = false

  const finish = (step: Step<T>): void => {
    if (end !== null) return
    end = step
    for (const reader of readers.splice(0)) reader(step)
  }
  const next = (): Promise<Step<T>> => {
    const value = waiting.shift()
    if (value !== undefined) return Promise.resolve({ value })
    return end === null ? new Promise((resolve) => readers.push(resolve)) : Promise.resolve(end)
  }

  return {
    put(value: T): void {
      if (left || end !== null) return
      const reader = readers.shift()
      if (reader === undefined) waiting.push(value)
      else reader({ value })
    },
    end: (): void => finish('end'),
    fail: (error: Error): void => finish({ error }),
    /** All that is to come. What is not read waits here, until the reader leaves. @param onLeave he has */
    async *read(onLeave: () => void = () => undefined): AsyncGenerator<T, void, undefined> {
      try {
        for (;;) {
          const step = await next()
          if (step === 'end') return
          if ('error' in step) throw step.error
          yield step.value
        }
      } finally {
        left = true
        waiting.length = 0
        onLeave()
      }
    },
  }
}
