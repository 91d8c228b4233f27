/** An event of a stream; of a comment there is nothing but that something came. */
export interface StreamedEvent {
  event: string
  data: string
}

/** Takes text in any pieces and gives the events that are whole. Our own, so that a page needs no package for it. */
export function createEventParser() {
  let rest = ''
  /** Up to where `rest` is known to have no end of a line. */
  let searched = 0
  let event = ''
  let data: string[] = []

  const line = (text: string): StreamedEvent | null => {
    if (text === '') {
      const whole = data.length === 0 ? null : { event: event === '' ? 'message' : event, data: data.join('\n') }
      event = ''
      data = []
      return whole
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(text) ?? []
    if (field === 'event') event = value
    else if (field === 'data') data.push(value)
    return null
  }
  return (text: string): StreamedEvent[] => {
    rest += text
    const events: StreamedEvent[] = []
    for (;;) {
      const end = rest.indexOf('\n', searched)
      if (end < 0) break
      const whole = line(rest.slice(0, rest[end - 1] === '\r' ? end - 1 : end))
      if (whole !== null) events.push(whole)
      rest = rest.slice(end + 1)
      searched = 0
    }
    searched = rest.length
    return events
  }
}
