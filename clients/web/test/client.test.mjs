import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect, version } from '../dist/esm/index.js'
import { device, noPauses, scripted, sse, until, ws } from './help.mjs'

/** Plays a test over both a two-way transport and one whose acks are requests. */
function overBoth(name, play) {
  for (const [kind, transport] of Object.entries({ ws, sse })) test(`${name}, ${kind}`, (t) => play(t, [transport()], kind))
}
const acked = (kind, seq) => (kind === 'ws' ? seq : `k${seq}`)

test('a wrong setting is refused by name (C 13.3)', () => {
  const good = { url: 'http://127.0.0.1:1', device: 'd' }
  for (const [setting, value, message] of [
    ['url', 'ftp://x', /url is "ftp:\/\/x".*http/], ['url', undefined, /url is undefined/], ['device', undefined, /device/], ['device', 'a b', /device is "a b"/],
    ['window', 0, /window is 0.*integer/], ['heartbeatMs', 999, /heartbeatMs is 999.*from 1000/], ['transports', [], /transports is \[\]/],
    ['token', 'secret', /token is string/], ['store', {}, /store is {}.*load and save/], ['fallbackAfter', 1.5, /fallbackAfter/],
  ]) assert.throws(() => connect({ ...good, [setting]: value }), (error) => error instanceof TypeError && message.test(error.message), setting)
})

overBoth('what is processed is acked, in order, and told once (C 5.1, 12)', async (t, transports, kind) => {
  const server = await scripted(t, (stream) => {
    stream.hello()
    for (let seq = 1; seq <= 5; seq++) stream.push(seq, `m${seq}`)
    stream.push(6, 'm2') // again
  })
  const told = device(t, server, { transports })
  await until('the ack of all', () => server.acks.at(-1) === acked(kind, 6))
  assert.deepEqual(told.messages, ['m1', 'm2', 'm3', 'm4', 'm5'])
  assert.deepEqual(told.states.map((s) => s.state), ['connecting', 'online'])
  assert.equal(told.ramen.counters.duplicates, 1)
  assert.equal(told.reloads.length, 0, 'a first stream ever misses nothing')
  const { query } = server.streams[0]
  assert.equal(query.get('label.client'), 'web')
  assert.equal(query.get('label.client_version'), version)
  assert.equal(query.has('cursor'), false)
})

overBoth('a stream that is cut is resumed at the last push processed (C 3.2, 8.1)', async (t, transports) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => {
    stream.hello({ resumed: n > 1, seq: n > 1 ? 2 : 0 })
    if (n > 1) return stream.push(3, 'm3')
    stream.push(1, 'm1')
    stream.push(2, 'm2')
  })
  const told = device(t, server, { transports })
  await until('two messages', () => told.messages.length === 2)
  server.streams[0].cut()
  await until('the third', () => told.messages.length === 3)
  assert.equal(server.streams[1].query.get('cursor'), 'k2')
  assert.deepEqual(told.states.map((s) => s.state), ['connecting', 'online', 'waiting', 'connecting', 'online'])
  assert.equal(told.reloads.length, 0)
})

overBoth('a cursor that is not honoured is told as reload (C 8.6)', async (t, transports) => {
  const server = await scripted(t, (stream) => stream.hello())
  const told = device(t, server, { transports, store: { load: () => 'k77', save() {} } })
  await until('reload', () => told.reloads.length)
  assert.equal(server.streams[0].query.get('cursor'), 'k77')
})

overBoth('a handler that fails has its message again, what was before it is acked (C 5.3, 12.4)', async (t, transports, kind) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => {
    stream.hello({ resumed: n > 1, seq: n > 1 ? 1 : 0, ack_ms: 60_000 })
    for (let seq = n > 1 ? 2 : 1; seq <= 3; seq++) stream.push(seq, `m${seq}`)
  })
  let fails = 1
  const told = device(t, server, { transports }, ({ id }) => {
    if (id === 'm2' && fails--) throw Error('not now')
  })
  await until('all', () => told.messages.length === 4)
  assert.deepEqual(told.messages, ['m1', 'm2', 'm2', 'm3'])
  assert.equal(server.streams[1].query.get('cursor'), 'k1')
  assert.deepEqual(server.acks, [acked(kind, 1)])
  assert.equal(told.errors[0].of, 'handler')
})

overBoth('a gap lets go of the stream, and keeps what was read before (C 4.2)', async (t, transports) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => {
    stream.hello({ seq: n > 1 ? 1 : 0, resumed: n > 1 })
    if (n > 1) return
    stream.push(1, 'm1')
    setTimeout(() => stream.push(3, 'm3'), 50)
  })
  const told = device(t, server, { transports })
  await until('the next stream', () => told.hellos.length === 2)
  assert.deepEqual(told.messages, ['m1'])
  assert.equal(server.streams[1].query.get('cursor'), 'k1')
  assert.equal(told.ramen.counters.gaps, 1)
})

overBoth('final reasons end the client (C 6.2)', async (t, transports) => {
  for (const reason of ['superseded', 'disconnected', 'unauthenticated', 'permission_denied']) {
    const server = await scripted(t, (stream) => {
      stream.hello()
      stream.goaway(reason, { detail: 'because' })
    })
    const told = device(t, server, { transports })
    await until(reason, () => told.closed.length)
    assert.deepEqual(told.closed, [{ reason, detail: 'because' }])
    assert.equal(told.ramen.state, 'stopped')
    assert.equal(server.streams.length, 1)
  }
})

overBoth('drain: the next stream is opened beside the old one, which is read on (C 3.7, 6.1)', async (t, transports) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => {
    stream.hello({ resumed: n > 1, seq: n > 1 ? 1 : 0 })
    if (n > 1) return server.streams[0].push(1, 'from the old one')
    stream.goaway('drain', { reconnect_ms: 50 })
  })
  const told = device(t, server, { transports })
  await until('the message', () => told.messages.length)
  server.streams[0].cut()
  server.streams[1].push(2, 'from the new one')
  await until('the next message', () => told.messages.length === 2)
  assert.deepEqual(told.states.map((s) => s.state), ['connecting', 'online'])
})

test('a refused token is not sent again, and the app is asked until it has another (C 9.3)', async (t) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => (n > 1 ? stream.hello() : stream.refuse(401, 'unauthenticated')))
  let asked = 0
  const token = () => (++asked < 4 ? 'old' : 'new')
  const told = device(t, server, { transports: [sse()], user: undefined, token })
  await until('hello', () => told.hellos.length)
  assert.deepEqual(server.requests.map((r) => r.headers.authorization), ['Bearer old', 'Bearer new'])
  assert.equal(told.tokens.length, 1)
  assert.equal(told.ramen.counters.fallbacks, 0)
})

test('close codes say the reason (SPEC 6.3)', async (t) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => (n > 1 ? stream.hello() : stream.close(4401)))
  let token = 'old'
  const told = device(t, server, { transports: [ws()], user: undefined, token: () => token })
  await until('token', () => told.tokens.length)
  token = 'new'
  await until('hello', () => told.hellos.length)
  assert.deepEqual(server.streams.map((s) => s.query.get('token')), ['old', 'new'])
})

test('heartbeats are echoed while a handler is busy (C 4.7, 5.4)', async (t) => {
  const server = await scripted(t, (stream) => {
    stream.hello()
    stream.push(1, 'm1')
  })
  let done
  const told = device(t, server, { transports: [ws()] }, () => new Promise((resolve) => (done = resolve)))
  await until('the handler', () => told.messages.length)
  server.streams[0].heartbeat()
  await until('the echo', () => server.streams[0].echoes === 1)
  done()
})

test('a loop has processed a message when it asks for the next (C 15)', async (t) => {
  const server = await scripted(t, (stream) => {
    stream.hello({ ack_ms: 1 })
    for (let seq = 1; seq <= 3; seq++) stream.push(seq, `m${seq}`)
  })
  const { ramen } = device(t, server, { transports: [ws()] }, null)
  const first = []
  for await (const { id } of ramen) {
    first.push(id)
    if (id === 'm2') break
  }
  await until('the ack of the first', () => server.acks.length)
  const second = []
  for await (const { id } of ramen) {
    second.push(id)
    if (id === 'm3') void ramen.close() // the loop ends after it
  }
  assert.deepEqual([first, second], [['m1', 'm2'], ['m2', 'm3']])
  await until('the ack of the last', () => server.acks.at(-1) === 3)
  assert.equal(server.acks[0], 1)
})

test('a loop throws where the server ends the client for good', async (t) => {
  const server = await scripted(t, (stream) => {
    stream.hello()
    stream.goaway('disconnected', { detail: 'logged out' })
  })
  const { ramen } = device(t, server, { transports: [ws()] }, null)
  await assert.rejects(async () => {
    for await (const message of ramen) assert.fail(message.id)
  }, { reason: 'disconnected', message: /logged out/ })
})

overBoth('closing acks, says 1000, and may be done by a handler that waits for it (C 12.5, 12.6)', async (t, transports, kind) => {
  const server = await scripted(t, (stream) => {
    stream.hello({ ack_ms: 60_000 })
    stream.push(1, 'm1')
    stream.push(2, 'm2')
  })
  const told = device(t, server, { transports }, async ({ id }) => {
    if (id === 'm2') await told.ramen.close()
  })
  await until('closed', () => told.closed.length)
  assert.deepEqual(told.closed, [{ reason: 'closed' }])
  await until('the ack', () => server.acks.length)
  assert.deepEqual(server.acks, [acked(kind, 1)])
  if (kind === 'ws') await until('1000', () => server.streams[0].closedWith === 1000)
  await told.ramen.close()
})

test('closing works before the start, while opening, waiting and offline (C 12.6)', async (t) => {
  let cut = false
  const server = await scripted(t, (stream) => cut && stream.cut()) // else it never answers
  const places = {
    stopped: null,
    connecting: (told) => until('connecting', () => told.ramen.state === 'connecting'),
    waiting: (told) => until('waiting', () => told.ramen.state === 'waiting'),
    offline: (told) => until('offline', () => told.ramen.state === 'offline'),
  }
  t.mock.method(Math, 'random', () => 1)
  for (const [state, reach] of Object.entries(places)) {
    cut = state === 'waiting'
    const platform = (events) => {
      if (state === 'offline') events.network(false)
      return () => {}
    }
    const told = device(t, server, { transports: [sse()], platform })
    if (reach) await reach(told)
    assert.equal(told.ramen.state, state)
    await told.ramen.close()
    await until('closed', () => told.closed.length)
    assert.equal(told.ramen.state, 'stopped')
  }
})

test('a listener that throws changes nothing, and is told (C 2.7)', async (t) => {
  const server = await scripted(t, (stream) => stream.hello())
  const told = device(t, server, { transports: [ws()] })
  told.ramen.on('state', () => {
    throw Error('mine')
  })
  await until('hello', () => told.hellos.length)
  assert.deepEqual(told.errors.map((e) => e.of), ['listener', 'listener'])
})

test('the network goes and comes (C 10.1, 10.2)', async (t) => {
  noPauses(t)
  let events
  const server = await scripted(t, (stream) => stream.hello())
  const told = device(t, server, { transports: [ws()], platform: (e) => ((events = e), () => {}) })
  const other = device(t, server, { transports: [ws()], device: 'd2' })
  await until('hello', () => told.hellos.length && other.hellos.length)
  events.network(false)
  assert.equal(told.ramen.state, 'online', 'a live stream is kept')
  for (const stream of server.streams) stream.cut()
  await until('offline', () => told.ramen.state === 'offline')
  await until('the other, which knows of nothing, is back', () => other.hellos.length === 2)
  assert.equal(told.ramen.counters.attempts, 1)
  events.network(true, true)
  await until('hello', () => told.hellos.length === 2)
  assert.deepEqual(told.states.map((s) => s.state), ['connecting', 'online', 'offline', 'waiting', 'connecting', 'online'])
})
