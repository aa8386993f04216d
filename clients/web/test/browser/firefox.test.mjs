// The client in Debian's Firefox, without a driver: the page plays by itself, and reports what it was told.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { until } from '../help.mjs'
import { Ramen } from '../ramen.mjs'

const firefox = process.env.FIREFOX ?? '/usr/bin/firefox-esr'
const server = new Ramen()
let child
let site
const profile = mkdtempSync(join(tmpdir(), 'ramen-firefox-'))

after(async () => {
  child?.kill()
  site?.closeAllConnections()
  site?.close()
  await server.end()
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
})

const page = (url) => `<!doctype html><meta charset="utf-8"><script type="module">
import { connect, eventSource, indexedDBStorage, longPoll, sse, webSocket } from '/dist/esm/index.js'
import { connectTabs } from '/dist/esm/tabs.js'
let last = Promise.resolve() // reports go one by one: none overtakes another
const report = (name, ids) => (last = last.then(() => fetch('/report', { method: 'POST', body: JSON.stringify({ name, ids }) })))
const makers = { webSocket, sse, eventSource, longPoll, tabs: null }
for (const [name, maker] of Object.entries(makers)) {
  const options = { url: '${url}', user: 'firefox-' + name, device: 'd', store: indexedDBStorage() }
  const ramen = maker ? connect({ ...options, transports: [maker()] }) : connectTabs(options)
  const ids = []
  ramen.on('hello', () => report(name, ids))
  ramen.on('error', (e) => report(name, [String(e.error)]))
  ramen.on('message', ({ id }) => { ids.push(id); void report(name, ids) })
}
</script>`

test('messages come over each transport, and to a tab that holds the stream for others', { skip: !existsSync(firefox) && 'no Firefox here' }, async () => {
  await server.start()
  const told = {}
  site = createServer(async (req, res) => {
    if (req.method === 'POST') {
      let body = ''
      for await (const piece of req) body += piece
      const { name, ids } = JSON.parse(body)
      told[name] = ids
      return void res.end()
    }
    if (req.url.startsWith('/dist/')) {
      return void res.writeHead(200, { 'content-type': 'text/javascript' }).end(await readFile(new URL(`../..${req.url}`, import.meta.url)))
    }
    res.writeHead(200, { 'content-type': 'text/html' }).end(page(server.url.replace('127.0.0.1', 'localhost')))
  })
  await new Promise((done) => site.listen(0, '127.0.0.1', done))
  child = spawn(firefox, ['--headless', '--no-remote', '--profile', profile, `http://localhost:${site.address().port}/`], { stdio: 'ignore' })
  const names = ['webSocket', 'sse', 'eventSource', 'longPoll', 'tabs']
  await until('all are online', () => names.every((name) => told[name]), 90_000)
  for (const name of names) await server.publish(`firefox-${name}`, ['m1', 'm2', 'm3'])
  await until('all have the messages', () => names.every((name) => told[name].length >= 3), 60_000).catch(() => {}) // what is missing is shown below
  for (const name of names) assert.deepEqual(told[name], ['m1', 'm2', 'm3'], name)
})
