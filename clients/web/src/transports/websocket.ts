import { address, deliver, type Frame, type Transport } from '../wire.js'

// SPEC 6.3. 1001 and 1013 stand for several reasons, and add nothing to a goaway.
const reasons: Record<number, string> = {
  4400: 'invalid_argument',
  4401: 'unauthenticated',
  4403: 'permission_denied',
  4404: 'disconnected',
  4409: 'superseded',
  4508: 'ack_timeout',
  4513: 'too_slow',
  4529: 'resource_exhausted',
}

// What a code that is not known here says. SPEC 6.3.15
const hundreds: Record<number, string> = { 44: 'disconnected', 45: 'unavailable' }

/**
 * WebSocket with text frames (SPEC 6). A browser cannot set its headers: the token is in the query.
 * `WebSocket` is for platforms without one of their own, such as Node 20.
 */
export const webSocket = (options: { WebSocket?: unknown } = {}): Transport => ({
  name: 'ws-json',
  pushes: 256,
  bytes: 1 << 20,
  twoWay: true,
  blind: true,
  open(o, sink) {
    const Socket = (options.WebSocket ?? WebSocket) as typeof WebSocket
    const { cursor, token } = o
    const socket = new Socket(address(o, 'ws', { ...o.query, cursor, token }).replace(/^http/, 'ws'), ['ramen.v1.json'])
    socket.onmessage = ({ data }) => {
      sink.alive()
      if (data === '') sink.frame({ heartbeat: 1 }, 0)
      else if (typeof data === 'string') deliver(sink, data, (value) => value as Frame)
    }
    socket.onclose = ({ code, reason }) => sink.end({ reason: reasons[code] ?? hundreds[(code / 100) | 0], detail: reason || `close code ${code}` })
    socket.onerror = () => {} // close follows
    const send = (frame: unknown) => {
      if (socket.readyState === 1) socket.send(frame ? JSON.stringify(frame) : '')
    }
    return {
      ack: (seq) => send({ ack: { seq } }),
      echo: () => send(0),
      refresh: (token) => send({ refresh: { token } }),
      close() {
        socket.onmessage = socket.onclose = null
        socket.close(1000)
      },
    }
  },
})
