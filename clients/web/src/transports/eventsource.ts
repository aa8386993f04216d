import { address, postAck, refusal, request, words, type Transport } from '../wire.js'
import { deliverEvent } from './sse.js'

/**
 * The platform's EventSource (SPEC 5.4), for where fetch cannot stream. It cannot set headers: the token is in the query.
 * `EventSource` is for platforms without one of their own.
 */
export const eventSource = (options: { EventSource?: unknown } = {}): Transport => ({
  name: 'eventsource',
  pushes: 1024,
  bytes: 4 << 20,
  blind: true,
  open(o, sink) {
    const Source = (options.EventSource ?? EventSource) as typeof EventSource
    const abort = new AbortController()
    const { cursor, token } = o
    const source = new Source(address(o, 'receive', { ...o.query, cursor, token, heartbeat: 'event' }), {
      withCredentials: o.credentials === 'include',
    })
    let greeted = false

    // An EventSource shows no status: ask once more, and read the answer. C 6.6
    async function ask(): Promise<void> {
      const response = await request(o, 'receive', { ...o.query, cursor }, { signal: abort.signal })
      sink.end(response.status === 200 ? {} : await refusal(response))
      abort.abort()
    }

    for (const name of ['hello', 'message', 'goaway']) {
      source.addEventListener(name, ({ data, lastEventId }) => {
        sink.alive()
        greeted ||= name === 'hello'
        // The retry: of a refusal cannot be seen: it is drawn anew as the server draws it. SPEC 5.4.1
        deliverEvent(sink, name, data, lastEventId, greeted ? 0 : 2000 + Math.random() * 8000)
      })
    }
    source.addEventListener('heartbeat', () => {
      sink.alive()
      sink.frame({ heartbeat: 1 }, 0)
    })
    source.onerror = () => {
      if (source.readyState === 2) {
        ask().catch((error) => sink.end({ detail: words(error) }))
      } else {
        sink.end({})
      }
    }
    return {
      ack: (_, cursor, last) => postAck(o, cursor, last),
      close() {
        source.onerror = null
        source.close()
        abort.abort()
      },
    }
  },
})
