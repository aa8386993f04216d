// Makes a program of the client, for the suite in clients/conformance: commands on standard input, events on standard output.
import { createInterface } from 'node:readline'
import { Agent, buildConnector, EventSource, WebSocket } from 'undici'
import { connect, eventSource, longPoll, sse, version, webSocket } from '../dist/esm/core.js'

const transports = {
  'ws-json': (client) => webSocket({ WebSocket: socketOf(client) }),
  sse,
  poll: longPoll,
  eventsource: () => eventSource({ EventSource }),
}
const clients = new Map() // name → what runs under it
const stores = new Map() // name → its cursors, which outlive clients

const write = (event) => process.stdout.write(JSON.stringify(event) + '\n')

/** A WebSocket whose connection `crash` can drop without a word to the server. */
const socketOf = (client) =>
  class extends WebSocket {
    constructor(url, protocols) {
      const open = buildConnector({})
      const connect = (options, done) => open(options, (error, socket) => done(error, socket && client.sockets.add(socket) && socket))
      super(url, { protocols, dispatcher: new Agent({ connect }) })
    }
  }

function storeOf(name) {
  if (!name) return
  if (!stores.has(name)) stores.set(name, new Map())
  const place = stores.get(name)
  const call = (how, act) => async (...args) => {
    if (name === `broken:${how}`) throw Error('the store is broken')
    if (name === 'broken:never') return new Promise(() => {})
    return act(...args)
  }
  return { load: call('load', (key) => place.get(key)), save: call('save', (key, cursor) => void place.set(key, cursor)) }
}

/** The token callback: the first of the list, and the next after a refusal or `refresh`. The last one stays. */
function tokensOf(client, tokens) {
  if (!tokens) return
  return () => {
    const token = tokens[Math.min(client.turn, tokens.length - 1)]
    if (!token) throw Error('no token')
    return token
  }
}

const textOf = (payload) =>
  payload === undefined ? '' : payload instanceof Uint8Array ? Buffer.from(payload).toString() : JSON.stringify(payload)

/** What the handler does with a message of this id. */
async function handle(client, { fail, slow_ms, never, close } = {}, id, signal) {
  if (fail > (client.failed.get(id) ?? 0)) {
    client.failed.set(id, (client.failed.get(id) ?? 0) + 1)
    throw Error(`the handler fails for ${id}`)
  }
  if (slow_ms) await new Promise((done) => setTimeout(done, slow_ms))
  if (never) await new Promise((done) => signal.addEventListener('abort', done))
  if (close) void client.ramen.close()
}

function start(command) {
  const name = command.client
  const client = { turn: 0, failed: new Map(), sockets: new Set(), crashed: false }
  const tell = (event) => client.crashed || write({ client: name, ...event })
  const ramen = (client.ramen = connect({
    url: command.url,
    user: command.user,
    device: command.device,
    token: tokensOf(client, command.tokens),
    transports: (command.transports ?? ['ws-json', 'sse', 'poll']).map((t) => transports[t](client)),
    store: storeOf(command.store),
    context: command.context,
    window: command.window,
    heartbeatMs: command.heartbeat_ms,
    connectTimeoutMs: command.connect_timeout_ms,
    fallbackAfter: command.fallback_after,
    preferAfterMs: command.prefer_after_ms,
    platform(events) {
      client.platform = events
      return () => {}
    },
  }))
  clients.set(name, client)
  ramen.on('state', ({ state, transport, delayMs, cause, detail }) => {
    tell({ event: 'state', state, transport, delay_ms: delayMs === undefined ? undefined : Math.round(delayMs), cause, detail })
    if (command.listener_throws) throw Error('the listener throws')
  })
  ramen.on('hello', ({ resumed, expired }) => tell({ event: 'hello', resumed, expired }))
  ramen.on('reload', () => tell({ event: 'reload' }))
  ramen.on('token', () => {
    client.turn++
    tell({ event: 'token' })
  })
  ramen.on('error', ({ of, error }) => tell({ event: 'error', of, message: String(error) }))
  ramen.on('closed', ({ reason, detail }) => tell({ event: 'closed', reason, detail }))
  ramen.on('message', async ({ id, payload }, signal) => {
    tell({ event: 'message', id, payload: textOf(payload) })
    await handle(client, command.handler?.[id], id, signal)
  })
}

function run(command) {
  const client = clients.get(command.client)
  switch (command.do) {
    case 'start':
      try {
        start(command)
      } catch (error) {
        write({ client: command.client, event: 'refused', message: error.message })
      }
      break
    case 'close':
      void client?.ramen.close()
      break
    case 'crash':
      client.crashed = true
      for (const socket of client.sockets) socket.destroy()
      client.ramen.device.keeper.stop()
      break
    case 'reconnect':
      client.ramen.reconnect()
      break
    case 'network':
      client.platform.network(command.online, command.changed)
      break
    case 'refresh':
      client.turn++
  }
}

write({ adapter: 'web', version, transports: Object.keys(transports), can: ['network'], blind: ['ws-json'] })
createInterface({ input: process.stdin }).on('line', (line) => run(JSON.parse(line))).on('close', () => process.exit())
