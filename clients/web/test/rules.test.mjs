// Rules of clients/SPEC.md about ends, pauses, tokens, places and transports, each against a small server.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { EventSource } from 'undici'
import { eventSource, longPoll, storage } from '../dist/esm/index.js'
import { Choice } from '../dist/esm/choice.js'
import { Backoff } from '../dist/esm/time.js'
import { device, noPauses, pushOf, scripted, serve, sse, until, ws } from './help.mjs'

test('pauses are drawn from 0 to a bound that doubles from 1 s to 30 s (C 7.1)', (t) => {
  let drawn = 1
  t.mock.method(Math, 'random', () => drawn)
  const backoff = new Backoff()
  assert.deepEqual(Array.from({ length: 8 }, () => backoff.next()), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
  drawn = 0.5
  assert.equal(backoff.next(), 15_000)
  backoff.reset()
  assert.equal(backoff.next(), 500)
})

test('the next transport after two failures in a row, the first again after the last; trials double to 1 h (C 11.2, 11.3)', (t) => {
  let ms = 0
  t.mock.method(performance, 'now', () => ms)
  const [a, b, c] = ['a', 'b', 'c'].map((name) => ({ name }))
  const choice = new Choice([a, b, c])
  assert.equal(choice.failed(), false)
  choice.worked() // an answer of the server's in between
  assert.equal(choice.failed(), false)
  assert.equal(choice.current, a)
  assert.equal(choice.failed(), true)
  assert.equal(choice.current, b)
  assert.equal(choice.trialIn, 300_000)
  ms = 300_000
  const waits = []
  for (let i = 0; i < 6; i++) {
    choice.tried(false)
    waits.push(choice.trialIn)
    ms += choice.trialIn
  }
  assert.deepEqual(waits, [600_000, 1_200_000, 2_400_000, 3_600_000, 3_600_000, 3_600_000])
  choice.failed()
  choice.failed()
  assert.equal(choice.current, c)
  choice.failed()
  assert.equal(choice.failed(), false, 'back to the first is no fallback')
  assert.equal(choice.current, a)
  assert.equal(choice.trialIn, undefined)
})

test('a proxy that blocks WebSocket: SSE follows, with the same place (C 11.2, 11.4)', async (t) => {
  noPauses(t)
  const server = await scripted(t, (stream) => {
    if (stream.close) return stream.refuse(502)
    stream.hello({ resumed: true, seq: 6 })
    stream.push(7, 'm7')
  })
  const told = device(t, server, { transports: [ws(), sse()], store: { load: () => 'k6', save() {} } })
  await until('the message', () => told.messages.length)
  assert.deepEqual(server.requests.slice(0, 3).map((r) => [r.path, r.query.get('cursor')]), [['/ramen/ws', 'k6'], ['/ramen/ws', 'k6'], ['/ramen/receive', 'k6']])
  assert.equal(told.ramen.counters.fallbacks, 1)
  assert.equal(told.states.at(-1).transport, 'sse')
})

test('a refusal of the server says that the transport works, and Retry-After comes before the pause (C 7.3, 11.2)', async (t) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => (n > 3 ? stream.hello() : stream.refuse(503, 'unavailable', { 'retry-after': n === 1 ? '1' : '0' })))
  const told = device(t, server, { transports: [sse(), ws()] })
  await until('hello', () => told.hellos.length)
  assert.equal(told.ramen.counters.fallbacks, 0)
  const waits = told.states.filter((s) => s.state === 'waiting')
  assert.deepEqual(waits.map((s) => [s.cause, s.delayMs]), [['unavailable', 1000], ['unavailable', 0], ['unavailable', 0]])
})

test('a captive portal is no answer: neither its page, nor its redirect, nor its 403 (C 3.5, 6.4)', async (t) => {
  noPauses(t)
  let elsewhere = 0
  const portal = await serve(t, (_, res) => {
    elsewhere++
    res.end('log in')
  })
  const answers = [
    (res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<html>log in'),
    (res) => res.writeHead(302, { location: portal }).end(),
    (res) => res.writeHead(403, { 'content-type': 'text/html' }).end('<html>log in'),
    (res) => res.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: <html>\n\n'),
  ]
  for (const transport of [sse(), longPoll()]) {
    let n = 0
    const url = await serve(t, (_, res) => answers[n++ % answers.length](res))
    const told = device(t, { url }, { transports: [transport] })
    await until('five attempts', () => told.ramen.counters.attempts >= 5)
    assert.deepEqual([told.closed, told.hellos, elsewhere], [[], [], 0])
    await told.ramen.close()
  }
})

test('silence ends a stream, and of a WebSocket the next may be silent for longer (C 4.4, 4.5)', async (t) => {
  noPauses(t)
  const server = await scripted(t, (stream) => stream.hello({ timeout_ms: 1750 }))
  const told = device(t, server, { transports: [ws()] })
  await until('the second', () => told.hellos.length === 2)
  assert.equal(told.states.find((s) => s.state === 'waiting').cause, 'silent')
  const began = performance.now()
  await until('the third', () => told.hellos.length === 3)
  assert.ok(performance.now() - began > 3000, `${performance.now() - began} ms`)
  assert.equal(told.ramen.counters.silences, 2)
})

test('a timer that fires late reads what is there first (C 4.6)', async (t) => {
  const server = await scripted(t, (stream) => stream.hello({ timeout_ms: 1750 }))
  const told = device(t, server, { transports: [ws()] })
  await until('hello', () => told.hellos.length)
  server.streams[0].heartbeat()
  setTimeout(() => server.streams[0].heartbeat(), 1000)
  // The page is held up: its timers are late, and what came meanwhile is not read yet. The server is in this process, too, so its
  // heartbeat is sent before, and waits in the socket.
  await until('an echo', () => server.streams[0].echoes === 1)
  server.streams[0].heartbeat()
  for (const end = performance.now() + 2500; performance.now() < end; );
  await until('the echo of what waited', () => server.streams[0].echoes >= 2)
  assert.equal(told.ramen.counters.silences, 0)
  assert.equal(told.hellos.length, 1)
})

test('no hello within connect_timeout fails the attempt, a token callback that does not answer too (C 3.3, 9.1)', async (t) => {
  noPauses(t)
  const server = await scripted(t, () => {})
  const told = device(t, server, { transports: [sse(), ws()], connectTimeoutMs: 100, fallbackAfter: 99 })
  await until('two attempts', () => told.ramen.counters.attempts > 2)
  assert.equal(told.states.find((s) => s.state === 'waiting').cause, 'silent')
  const mute = device(t, server, { transports: [sse(), ws()], connectTimeoutMs: 100, token: () => new Promise(() => {}) })
  await until('attempts', () => mute.ramen.counters.attempts > 5)
  assert.equal(mute.states.find((s) => s.state === 'waiting').cause, 'token')
  assert.equal(mute.ramen.counters.fallbacks, 0, 'it says nothing of the transport')
})

test('superseded counts as cut for 30 s after an opening that nobody answered, and is final else (C 6.3)', async (t) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => {
    if (n === 1) return stream.cut() // it may have reached the server
    stream.hello()
    if (n === 2) stream.goaway('superseded')
  })
  const told = device(t, server, { transports: [sse()], fallbackAfter: 9 })
  await until('the next stream', () => told.hellos.length === 2)
  assert.equal(told.closed.length, 0)
})

const jwt = (ms, more = '') => `x.${Buffer.from(JSON.stringify({ sub: 'alice', exp: (Date.now() + ms) / 1000 })).toString('base64url')}.${more}`

test('a token is renewed before its end: over the open stream, or by a next one beside it (C 9.2)', async (t) => {
  for (const transport of [ws(), sse()]) {
    const server = await scripted(t, (stream, n) => stream.hello({ resumed: n > 1 }))
    const tokens = [jwt(2000, 'a'), jwt(600_000, 'b')]
    const given = [...tokens]
    const told = device(t, server, { transports: [transport], user: undefined, token: () => given.shift() ?? tokens[1] })
    if (transport.twoWay) {
      await until('refresh', () => server.streams[0]?.refreshed)
      assert.equal(server.streams[0].refreshed.token, tokens[1])
    } else {
      await until('the next stream', () => told.hellos.length === 2)
      assert.equal(server.requests.at(-1).headers.authorization, `Bearer ${tokens[1]}`)
    }
    assert.deepEqual(told.states.map((s) => s.state), ['connecting', 'online'])
    await told.ramen.close()
  }
})

test('a store that fails, or does not answer, holds up nothing, and is told once (C 8.3, 8.4)', async (t) => {
  const stores = {
    load: { load: () => Promise.reject(Error('no')), save() {} },
    save: { load: () => null, save() { throw Error('full') } },
    never: { load: () => null, save: () => new Promise(() => {}) },
    nonsense: { load: () => 'no cursor!', save() {} },
    forbidden: storage(() => { throw Error('SecurityError') }),
  }
  for (const [name, store] of Object.entries(stores)) {
    const server = await scripted(t, (stream) => {
      stream.hello()
      for (let seq = 1; seq <= 3; seq++) stream.push(seq, `m${seq}`)
    })
    const told = device(t, server, { transports: [ws()], store })
    await until(`${name}: all and acked`, () => told.messages.length === 3 && server.acks.at(-1) === 3)
    assert.equal(server.streams[0].query.has('cursor'), false)
    const errors = told.errors.filter((e) => e.of === 'store').length
    assert.ok(errors <= 1, `${name}: told ${errors} times`)
  }
})

test('a store that several share has a key for each server, user and device (C 8.5)', async (t) => {
  const server = await scripted(t, (stream) => {
    stream.hello()
    stream.push(1, `m of ${stream.query.get('user')}`)
  })
  const kept = new Map()
  const store = storage(() => ({ getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) }))
  device(t, server, { transports: [ws()], store })
  device(t, server, { transports: [ws()], store, user: 'bob' })
  await until('two places', () => [...kept.values()].filter((v) => v === 'k1').length === 2)
})

test('long-poll: the first does not wait, the next has the cursor of what is processed (C 3.9, 12.3)', async (t) => {
  const polls = []
  const url = await serve(t, (req, res) => {
    const { searchParams: query } = new URL(req.url, url)
    polls.push({ wait: query.get('wait'), cursor: query.get('cursor') })
    const answer = (messages, cursor) => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ resumed: polls.length > 1, stream: 's', expired: 0, cursor, messages }))
    if (polls.length === 1) answer([pushOf(1, 'm1'), pushOf(2, 'm2')], 'k2')
    else if (polls.length === 2) answer([], 'k2')
    // the third waits
  })
  let done
  const told = device(t, { url }, { transports: [longPoll()] }, () => new Promise((resolve) => (done = resolve)))
  await until('the first', () => told.messages.length === 1)
  done()
  await until('the second', () => told.messages.length === 2)
  assert.equal(polls.length, 1)
  done()
  await until('the third poll', () => polls.length === 3)
  assert.deepEqual(polls, [{ wait: '0', cursor: null }, { wait: '25', cursor: 'k2' }, { wait: '25', cursor: 'k2' }])
  assert.equal(told.hellos.length, 1)
})

test('an EventSource that is refused is asked about by fetch (C 6.6)', async (t) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => (n > 2 ? stream.hello() : stream.refuse(403, 'permission_denied')))
  const told = device(t, server, { transports: [eventSource({ EventSource })] })
  await until('closed', () => told.closed.length)
  assert.deepEqual(told.closed, [{ reason: 'permission_denied', detail: 'no' }])
  assert.equal(server.requests.length, 2)
})

test('an ack that fails is tried again; one whose place is lost lets go of the stream (C 12.2)', async (t) => {
  noPauses(t)
  let acks = 0
  const hellos = []
  const url = await serve(t, (req, res) => {
    if (req.url.startsWith('/ramen/ack')) {
      acks++
      if (acks === 1) return void res.writeHead(502).end('<html>')
      return void res.writeHead(404, { 'content-type': 'application/json' }).end('{"error":{"code":"not_found","message":"no such stream"}}')
    }
    hellos.push(req.url)
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(`event: hello\nid: k0\ndata: ${JSON.stringify({ resumed: false, seq: 0, timeout_ms: 7000, ack_ms: 100 })}\n\n`)
    if (hellos.length === 1) res.write(`id: k1\ndata: ${JSON.stringify(pushOf(1, 'm1'))}\n\n`)
  })
  const told = device(t, { url }, { transports: [sse()] })
  await until('the next stream', () => hellos.length === 2)
  assert.equal(acks, 2)
  assert.equal(told.closed.length, 0)
})

test('a handler that never returns is not called again beside itself (C 5.5)', async (t) => {
  noPauses(t)
  const server = await scripted(t, (stream, n) => {
    stream.hello()
    stream.push(1, 'm1')
    if (n === 1) stream.goaway('ack_timeout')
  })
  let release
  const told = device(t, server, { transports: [ws()] }, () => new Promise((done) => (release = done)))
  await until('the second stream', () => told.hellos.length === 2)
  server.streams[1].heartbeat()
  await until('its echo', () => server.streams[1].echoes)
  assert.deepEqual(told.messages, ['m1'])
  release()
  await until('the ack, without the handler', () => server.acks.includes(1))
  assert.deepEqual(told.messages, ['m1'])
})

test('closing an SSE stream ends its connection, even where Node has collected the request', async (t) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  const server = await scripted(t, (stream) => stream.hello())
  const told = device(t, server, { transports: [sse()] })
  await until('hello', () => told.hellos.length)
  for (let i = 0; i < 5; i++) {
    gc()
    await new Promise((done) => setImmediate(done))
  }
  let gone = false
  server.streams[0].socket.on('close', () => (gone = true))
  await told.ramen.close()
  await until('the connection is gone', () => gone)
})
