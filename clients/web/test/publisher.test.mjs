import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Publisher, PublishError, uuid } from '../dist/esm/publisher.js'
import { serve, until } from './help.mjs'
import { Ramen } from './ramen.mjs'

/** A server that answers each publish as `answer(messages, n)` says: results, or [status, error, headers]. */
async function backend(t, answer) {
  const requests = []
  const url = await serve(t, async (req, res) => {
    let body = ''
    for await (const piece of req) body += piece
    const { messages } = JSON.parse(body)
    requests.push({ messages, headers: req.headers, at: Date.now() })
    const said = await answer(messages, requests.length)
    if (said === 'cut') return req.socket.destroy()
    const [status, value, headers] = Array.isArray(said) ? [200, { results: said }] : [said.status, { error: { code: said.code, message: said.code } }, said.headers]
    res.writeHead(status, headers).end(JSON.stringify(value))
  })
  return { url, requests }
}
const accept = (messages) => messages.map(({ id }) => ({ id, status: 'accepted', devices: 1 }))
const idsOf = (request) => request.messages.map((m) => m.id)

test('ids are UUIDs of version 7, in the order of time', () => {
  assert.match(uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const ms = parseInt(uuid().replaceAll('-', '').slice(0, 12), 16)
  assert.ok(Math.abs(ms - Date.now()) < 1000)
})

test('what is published together shares a request, of at most 256 messages (C 14.4)', async (t) => {
  const { url, requests } = await backend(t, accept)
  const publisher = new Publisher({ url, key: 'k' })
  const results = await Promise.all(Array.from({ length: 300 }, (_, i) => publisher.publish({ user: `u${i}`, id: `m${i}`, type: 't', payload: i })))
  assert.deepEqual(results[7], { id: 'm7', status: 'accepted', devices: 1 })
  assert.deepEqual(requests.map((r) => r.messages.length).sort(), [256, 44])
  assert.equal(requests[0].headers.authorization, 'Bearer k')
  await publisher.close()
})

test('the id stays over all attempts; a lost answer is a duplicate then (C 14.1 to 14.3)', async (t) => {
  const { url, requests } = await backend(t, (messages, n) =>
    n === 1 ? 'cut' : n === 2 ? { status: 503, code: 'unavailable' } : n === 3 ? { status: 502 } : messages.map(({ id }) => ({ id, status: 'duplicate' })))
  const publisher = new Publisher({ url })
  const { id, status } = await publisher.publish({ user: 'u', payload: 1 })
  assert.equal(status, 'duplicate')
  assert.deepEqual(requests.map((r) => idsOf(r)), [[id], [id], [id], [id]])
})

test('Retry-After comes before the pause (C 14.2)', async (t) => {
  const { url, requests } = await backend(t, (messages, n) => (n > 1 ? accept(messages) : { status: 429, code: 'resource_exhausted', headers: { 'retry-after': '1' } }))
  await new Publisher({ url }).publish({ user: 'u', payload: 1 })
  assert.ok(requests[1].at - requests[0].at >= 990)
})

test('of a batch, what was rejected is told one by one, and what may help is tried again without the rest (C 14.5)', async (t) => {
  const { url, requests } = await backend(t, (messages, n) =>
    n > 1 ? accept(messages) : messages.map(({ id }) => ({
      id, status: id === 'good' ? 'accepted' : 'rejected', error: { code: id === 'bad' ? 'invalid_argument' : 'resource_exhausted', message: 'because' },
    })))
  const publisher = new Publisher({ url })
  const [good, bad, full] = await Promise.allSettled(['good', 'bad', 'full'].map((id) => publisher.publish({ user: id, id })))
  assert.equal(good.value.status, 'accepted')
  assert.ok(bad.reason instanceof PublishError)
  assert.deepEqual([bad.reason.code, bad.reason.id, bad.reason.unknown], ['invalid_argument', 'bad', false])
  assert.equal(full.value.status, 'accepted')
  assert.deepEqual(idsOf(requests[1]), ['full'])
})

test('one bad message in a batch that is refused as a whole fails alone', async (t) => {
  const { url } = await backend(t, (messages) => (messages.some((m) => m.id === 'bad') ? { status: 400, code: 'invalid_argument' } : accept(messages)))
  const publisher = new Publisher({ url })
  const [good, bad] = await Promise.allSettled(['good', 'bad'].map((id) => publisher.publish({ user: 'u', id })))
  assert.equal(good.value.status, 'accepted')
  assert.equal(bad.reason.code, 'invalid_argument')
})

test("a user's messages keep their order over failures (C 14.4)", async (t) => {
  let fail = true
  const { url, requests } = await backend(t, (messages) => {
    if (fail && messages.some((m) => m.user === 'u')) return (fail = false), { status: 503, code: 'unavailable' }
    return accept(messages)
  })
  const publisher = new Publisher({ url })
  const first = publisher.publish({ user: 'u', id: 'm1' })
  await until('the first is out', () => requests.length)
  await Promise.all([first, publisher.publish({ user: 'u', id: 'm2' }), publisher.publish({ user: 'v', id: 'm3' })])
  const order = requests.slice(1).flatMap(idsOf).filter((id) => id !== 'm3')
  assert.deepEqual(order, ['m1', 'm2'])
})

test('when time runs out, the fate is unknown, and the id is told (C 14.6)', async (t) => {
  const { url } = await backend(t, () => new Promise(() => {}))
  const publisher = new Publisher({ url, timeoutMs: 200 })
  await assert.rejects(publisher.publish({ user: 'u', id: 'm1' }), { code: 'timeout', id: 'm1', unknown: true })
})

test('closing waits for what is out, and refuses what comes later (C 14.7)', async (t) => {
  const { url } = await backend(t, accept)
  const publisher = new Publisher({ url })
  let done = false
  const out = publisher.publish({ user: 'u' }).then(() => (done = true))
  await publisher.close()
  await out
  assert.ok(done)
  await assert.rejects(publisher.publish({ user: 'u' }), { code: 'closed' })
})

test('a key that is refused is told at once', async (t) => {
  const { url, requests } = await backend(t, () => ({ status: 401, code: 'unauthenticated' }))
  await assert.rejects(new Publisher({ url }).publish({ user: 'u' }), { code: 'unauthenticated', unknown: false })
  assert.equal(requests.length, 1)
})

const server = new Ramen()
before(() => server.start())
after(() => server.end())

test('the real server takes all fields, over kill -9', async () => {
  const publisher = new Publisher({ url: server.backend })
  const full = {
    user: 'alice', device: 'd', id: 'full', type: 't', priority: 'high', payload: { a: [1] }, ttlMs: 60_000, collapseKey: 'c', headers: { h: 'v' }, where: { os: 'x' },
  }
  assert.equal((await publisher.publish(full)).status, 'accepted')
  assert.equal((await publisher.publish(full)).status, 'duplicate')
  assert.equal((await publisher.publish({ user: 'alice', payload: new Uint8Array([0, 255]) })).status, 'accepted')
  await assert.rejects(publisher.publish({ user: 'a b' }), { code: 'invalid_argument' })
  await server.kill()
  const out = Array.from({ length: 20 }, (_, i) => publisher.publish({ user: 'bob', id: `b${i}`, payload: i }))
  await server.start()
  await Promise.all(out)
  const { messages } = await (await fetch(`${server.backend}/v1/users/bob/messages`)).json()
  assert.deepEqual(messages.map((m) => m.id), Array.from({ length: 20 }, (_, i) => `b${i}`))
  await publisher.close()
})
