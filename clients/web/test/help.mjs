// Small servers for the tests, and what a client says.
import { once } from 'node:events'
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { WebSocket } from 'undici'
import { connect, sse, webSocket } from '../dist/esm/index.js'

export const ws = () => webSocket({ WebSocket })
export { sse }

/** Starts a server on loopback; it is gone, with its connections, when the test ends. */
export async function serve(t, onRequest, onUpgrade) {
  const server = createServer(onRequest)
  const sockets = new Set()
  server.on('connection', (socket) => sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => {})))
  if (onUpgrade) server.on('upgrade', onUpgrade)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${server.address().port}`
}

export const helloOf = (more) => ({
  resumed: false, stream: 's1', seq: 0, heartbeat_ms: 4000, timeout_ms: 7000, ack_ms: 100, time_ms: Date.now(), expired: 0, ...more,
})

export const pushOf = (seq, id, more) => ({
  seq, id, type: 't', priority: 'medium', created_ms: 1, expires_ms: 9e12, payload: { seq }, ...more,
})

/** A server of both SSE and WebSocket. Each stream is handed to `script(stream, n)`, n from 1; acks are listed. */
export async function scripted(t, script) {
  const server = { url: '', streams: [], acks: [], requests: [] }
  const begin = (stream, query) => {
    Object.assign(stream, { query, cut: () => stream.socket.destroy() })
    server.streams.push(stream)
    script(stream, server.streams.length)
  }
  server.url = await serve(
    t,
    (req, res) => {
      const { pathname, searchParams } = new URL(req.url, 'http://x')
      server.requests.push({ path: pathname, query: searchParams, headers: req.headers })
      if (pathname === '/ramen/ack') {
        server.acks.push(searchParams.get('cursor'))
        return void res.writeHead(204).end()
      }
      begin(sseStream(req, res), searchParams)
    },
    (req, socket) => {
      const { searchParams } = new URL(req.url, 'http://x')
      server.requests.push({ path: '/ramen/ws', query: searchParams, headers: req.headers })
      begin(wsStream(req, socket, (frame) => frame.ack && server.acks.push(frame.ack.seq)), searchParams)
    },
  )
  return server
}

function sseStream(req, res) {
  const event = (name, data, id) => {
    if (!res.headersSent) res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(`${name ? `event: ${name}\n` : ''}${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`)
  }
  return {
    socket: req.socket,
    hello: (more) => event('hello', helloOf({ ack_ms: 200, ...more }), 'k0'),
    push: (seq, id, more) => event('', pushOf(seq, id, more), `k${seq}`),
    goaway: (reason, more) => event('goaway', { reason, ...more }),
    refuse: (status, code, headers) => res.writeHead(status, headers).end(code ? JSON.stringify({ error: { code, message: 'no' } }) : '<html>'),
    end: () => res.end(),
  }
}

function wsStream(req, socket, onFrame) {
  const accept = createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
  const send = (opcode, data) => {
    const size = data.length < 126 ? Buffer.from([data.length]) : Buffer.from([126, data.length >> 8, data.length & 255])
    socket.write(Buffer.concat([Buffer.from([128 | opcode]), size, data]))
  }
  let open = false
  const frame = (value) => {
    if (!open) {
      open = true
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ramen.v1.json\r\n\r\n`)
    }
    if (value !== undefined) send(1, Buffer.from(value && JSON.stringify(value)))
  }
  const stream = {
    socket,
    echoes: 0,
    closedWith: 0,
    hello: (more) => frame({ hello: helloOf({ cursor: 'k0', ...more }) }),
    push: (seq, id, more) => frame({ push: { ...pushOf(seq, id, more), cursor: `k${seq}` } }),
    heartbeat: () => frame(''),
    goaway: (reason, more) => frame({ goaway: { reason, ...more } }),
    close: (code) => {
      frame()
      send(8, Buffer.from([code >> 8, code & 255]))
    },
    refuse: (status, code) => socket.end(`HTTP/1.1 ${status} No\r\nConnection: close\r\n\r\n${code ?? ''}`),
  }
  let rest = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes])
    while (rest.length >= 6) {
      const short = rest[1] & 127
      const at = short < 126 ? 2 : 4
      const length = short < 126 ? short : rest.readUInt16BE(2)
      if (rest.length < at + 4 + length) return
      const mask = rest.subarray(at, at + 4)
      const data = Buffer.from(rest.subarray(at + 4, at + 4 + length).map((byte, i) => byte ^ mask[i & 3]))
      if ((rest[0] & 15) === 8) {
        stream.closedWith = data.length ? data.readUInt16BE(0) : 1005
        socket.end()
      } else if (length) {
        const value = JSON.parse(data)
        stream.refreshed ??= value.refresh
        onFrame(value)
      } else stream.echoes++
      rest = rest.subarray(at + 4 + length)
    }
  })
  return stream
}

/** Connects, and lists what the app is told. The client is closed when the test ends. */
export function device(t, server, options, onMessage) {
  const ramen = connect({ url: server.url, user: 'alice', device: 'd1', ...options })
  const told = { ramen, states: [], hellos: [], reloads: [], tokens: [], errors: [], closed: [], messages: [] }
  ramen.on('state', (e) => told.states.push(e))
  ramen.on('hello', (e) => told.hellos.push(e))
  ramen.on('reload', (e) => told.reloads.push(e))
  ramen.on('token', (e) => told.tokens.push(e))
  ramen.on('error', (e) => told.errors.push(e))
  ramen.on('closed', (e) => told.closed.push(e))
  if (onMessage !== null) {
    ramen.on('message', async (message, signal) => {
      told.messages.push(message.id)
      await onMessage?.(message, signal)
    })
  }
  t.after(() => ramen.close())
  return told
}

/** Waits until the condition holds. */
export async function until(what, condition, ms = 10_000) {
  for (const end = Date.now() + ms; !(await condition()); await new Promise((done) => setTimeout(done, 5))) {
    if (Date.now() > end) throw Error(`in vain: ${what}`)
  }
}

/** Pauses are drawn from 0: those of the test are the shortest. */
export function noPauses(t) {
  t.mock.method(Math, 'random', () => 0)
}
