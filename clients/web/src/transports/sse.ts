import { deliver, maxFrame, postAck, refusal, request, words, type Frame, type Sink, type Transport } from '../wire.js'

/** One event of a stream: `retry` is the last one that came, 0 before. */
export type OnEvent = (name: string, data: string, id: string, retry: number) => void

/** Reads Server-Sent Events, however the text is cut. Throws where one is too large. */
export function eventParser(emit: OnEvent): (text: string) => void {
  const ends = /\r\n?|\n/g
  let rest = '' // of the line under way
  let skip = false // the text before ended with CR: an LF belongs to it
  let name = ''
  let id = ''
  let data: string[] = []
  let size = 0
  let retry = 0

  function line(text: string): void {
    if (!text) {
      if (data.length) emit(name, data.join('\n'), id, retry)
      name = ''
      data = []
      size = 0
      return
    }
    const [, field, value = ''] = /^([^:]*)(?:: ?([^]*))?$/.exec(text)!
    if (field === 'data') {
      data.push(value)
      size += value.length
    } else if (field === 'event') name = value
    else if (field === 'id' && !value.includes('\0')) id = value
    else if (field === 'retry' && /^\d+$/.test(value)) retry = +value
  }

  return (text) => {
    let start = skip && text[0] === '\n' ? 1 : 0
    if (text) skip = text.endsWith('\r')
    ends.lastIndex = start
    for (let end; (end = ends.exec(text)); start = ends.lastIndex) {
      line(rest + text.slice(start, end.index))
      rest = ''
    }
    rest += text.slice(start)
    if (rest.length + size > maxFrame) throw Error('event too large')
  }
}

/** Makes a frame of an event. Hello and pushes have their cursors in the line `id:`. */
export function deliverEvent(sink: Sink, name: string, data: string, cursor: string, retryAfterMs?: number): void {
  if (name === '' || name === 'message') name = 'push'
  deliver(
    sink,
    /^(hello|push|goaway)$/.test(name) ? data : '0',
    (value) => ({ [name]: value && { ...(value as object), cursor } }) as Frame,
    retryAfterMs,
  )
}

/** Server-Sent Events over fetch (SPEC 5): the token is in a header, and acks go by requests of their own. */
export const sse = (): Transport => ({
  name: 'sse',
  pushes: 1024,
  bytes: 4 << 20,
  open(o, sink) {
    const abort = new AbortController()
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined
    let greeted = false

    async function read(): Promise<void> {
      const response = await request(o, 'receive', { ...o.query, cursor: o.cursor }, { signal: abort.signal })
      if (response.status !== 200) return sink.end(await refusal(response))
      if (!/^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '')) {
        return sink.end({ detail: 'not an event stream' })
      }
      sink.alive()
      const parse = eventParser((name, data, id, retry) => {
        if (name === 'hello') greeted = true
        // Of a refusal retry: is when to come back. Elsewhere it is for EventSource alone. SPEC 5.4.1, C 7.5
        deliverEvent(sink, name, data, id, greeted ? 0 : retry)
      })
      reader = response.body!.getReader()
      const decoder = new TextDecoder()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return sink.end({})
        sink.alive()
        parse(decoder.decode(value, { stream: true }))
      }
    }

    read().catch((error) => sink.end({ detail: words(error) }))
    return {
      ack: (_, cursor, last) => postAck(o, cursor, last),
      close() {
        abort.abort()
        void reader?.cancel().catch(() => {}) // Node forgets the signal of a request whose garbage it has collected
      },
    }
  },
})
