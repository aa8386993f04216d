// The real server, in development mode.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './help.mjs'

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
export class Ramen {
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
