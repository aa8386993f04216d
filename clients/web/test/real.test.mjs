// The client against the real server, killed and started again under it.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { longPoll } from '../dist/esm/index.js'
import { device, sse, until, ws } from './help.mjs'

const binary = process.env.RAMEN ?? new URL('../../../bin/ramen', import.meta.url).pathname

/** Ports that are free now. */
async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => done(server))
  })))
  const ports = servers.map((server) => server.address().port)
  for (const server of servers) await new Promise((done) => server.close(done))
  return ports
}

/** A server in development mode, whose store outlives it. */
class Ramen {
  #data = mkdtempSync(join(tmpdir(), 'ramen-web-'))
  #process

  async start() {
    this.ports ??= await freePorts(4)
    const [devices, grpc, backends, backendsGRPC] = this.ports
    this.url = `http://127.0.0.1:${devices}`
    this.backend = `http://127.0.0.1:${backends}`
    this.#process = spawn(binary, [
      'serve', '--dev', '--data', this.#data, '--listen.devices', `127.0.0.1:${devices}`, '--listen.devices-grpc', `127.0.0.1:${grpc}`,
      '--listen.backends', `127.0.0.1:${backends}`, '--listen.backends-grpc', `127.0.0.1:${backendsGRPC}`,
    ], { stdio: 'ignore' })
    await until('the server is ready', () => fetch(`${this.url}/readyz`).then((r) => r.ok, () => false), 30_000)
  }

  async kill() {
    const gone = new Promise((done) => this.#process.once('exit', done))
    this.#process.kill('SIGKILL')
    await gone
  }

  async publish(user, ids) {
    const messages = ids.map((id) => ({ user, id, type: 't', payload: { id } }))
    const response = await fetch(`${this.backend}/v1/publish`, { method: 'POST', body: JSON.stringify({ messages }) })
    for (const { status } of (await response.json()).results) assert.match(status, /accepted|duplicate/)
  }

  async end() {
    await this.kill()
    rmSync(this.#data, { recursive: true, force: true })
  }
}

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
