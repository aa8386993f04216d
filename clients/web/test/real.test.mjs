// The client against the real server, killed and started again under it.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { longPoll } from '../dist/esm/index.js'
import { device, sse, until, ws } from './help.mjs'
import { Ramen } from './ramen.mjs'

const server = new Ramen()
await server.start()
after(() => server.end())

for (const [name, transport] of Object.entries({ ws, sse, poll: longPoll })) {
  test(`nothing is lost or told twice over kill -9, in order: ${name}`, async (t) => {
    const user = `user-${name}`
    const places = new Map()
    const store = { load: (key) => places.get(key), save: (key, cursor) => void places.set(key, cursor) }
    const told = device(t, server, { user, device: 'd1', transports: [transport()], store })
    await until('hello', () => told.hellos.length)
    const ids = Array.from({ length: 300 }, (_, i) => `${name}-${i}`)
    await server.publish(user, ids.slice(0, 100))
    await until('some came', () => told.messages.length >= 20)
    await server.kill()
    await server.start()
    await server.publish(user, ids.slice(100, 200))
    await until('the messages of before and after the kill', () => told.messages.length >= 200, 40_000)
    await told.ramen.close()
    await server.publish(user, ids.slice(200))
    // The app starts again: another client, with the place of the first.
    const again = device(t, server, { user, device: 'd1', transports: [transport()], store })
    await until('the rest', () => again.messages.length >= 100, 40_000)
    assert.deepEqual([...told.messages, ...again.messages], ids)
    assert.equal(told.reloads.length + again.reloads.length, 0)
    await again.ramen.close()
    await until('all is acked', async () => {
      const { messages } = await (await fetch(`${server.backend}/v1/users/${user}/messages`)).json()
      return messages.length === 0
    })
  })
}
