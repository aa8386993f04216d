// The client in a real Chromium, against the real server: tabs, SharedWorker, network and page events.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'
import { until } from '../help.mjs'
import { Ramen } from '../ramen.mjs'

const server = new Ramen()
let browser
let site
let origin

// What a page runs: it lists in `window.told` what it is told.
const page = `<!doctype html><meta charset="utf-8"><title>RAMEN</title><script type="module">
import * as core from '/dist/esm/index.js'
import * as tabs from '/dist/esm/tabs.js'
const told = window.told = { messages: [], states: [], hellos: 0, closed: [], errors: [] }
window.listen = (ramen) => {
  window.ramen = ramen
  ramen.on('state', (e) => told.states.push(e.state))
  ramen.on('hello', () => told.hellos++)
  ramen.on('closed', (e) => told.closed.push(e.reason))
  ramen.on('error', (e) => told.errors.push(e.of + ': ' + e.error))
  ramen.on('message', (m) => { told.messages.push(m.id) })
}
Object.assign(window, core, tabs)
window.ready = true
</script>`
const workerScript = `import { serveTabs, } from '/dist/esm/tabs.js'
import { indexedDBStorage } from '/dist/esm/index.js'
const [url, user] = decodeURIComponent(self.name).split(' ')
serveTabs({ url, user, device: 'shared', store: indexedDBStorage() })`

/** The React app of examples/, bundled as an app would. */
async function reactExample() {
  const { outputFiles } = await build({
    entryPoints: [new URL('../../examples/react/main.tsx', import.meta.url).pathname],
    bundle: true, format: 'esm', write: false, jsx: 'automatic', define: { 'process.env.NODE_ENV': '"development"' },
  })
  return outputFiles[0].contents
}

before(async () => {
  await server.start()
  site = createServer(async (req, res) => {
    const path = req.url.split('?')[0]
    if (path.startsWith('/dist/')) {
      return void res.writeHead(200, { 'content-type': 'text/javascript' }).end(await readFile(new URL(`../..${path}`, import.meta.url)))
    }
    if (path === '/page.html' || path === '/ramen.min.js') {
      const file = path === '/page.html' ? '../../examples/page.html' : '../../dist/ramen.min.js'
      const type = path === '/page.html' ? 'text/html' : 'text/javascript'
      return void res.writeHead(200, { 'content-type': type }).end(await readFile(new URL(file, import.meta.url)))
    }
    if (path === '/react.js') return void res.writeHead(200, { 'content-type': 'text/javascript' }).end(await reactExample())
    if (path === '/react') return void res.writeHead(200, { 'content-type': 'text/html' }).end('<div id="root"></div><script type="module" src="/react.js"></script>')
    if (path === '/worker.js') return void res.writeHead(200, { 'content-type': 'text/javascript' }).end(workerScript)
    res.writeHead(200, { 'content-type': 'text/html' }).end(page)
  })
  await new Promise((done) => site.listen(0, '127.0.0.1', done))
  origin = `http://localhost:${site.address().port}`
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'], ignoreDefaultArgs: ['--disable-back-forward-cache'],
  })
})

after(async () => {
  await browser?.close()
  site?.closeAllConnections()
  site?.close()
  await server.end()
})

async function open(context) {
  const tab = await context.newPage()
  await tab.goto(origin)
  await tab.waitForFunction('window.ready')
  return tab
}
const told = (tab) => tab.evaluate('window.told')
const state = (tab) => tab.evaluate('window.ramen.state')
const url = () => server.url.replace('127.0.0.1', 'localhost')
const ids = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `m${from + i}`)

for (const transport of ['webSocket', 'sse', 'eventSource', 'longPoll']) {
  test(`messages come over ${transport}, and the place outlives a reload`, async () => {
    const context = await browser.newContext()
    const tab = await open(context)
    const user = `user-${transport}`
    const start = () => tab.evaluate(`listen(connect({ url: '${url()}', user: '${user}', device: 'd', transports: [${transport}()], store: storage(() => localStorage) }))`)
    await start()
    await until('online', async () => (await state(tab)) === 'online')
    await server.publish(user, ids(1, 3))
    await until('three messages', async () => (await told(tab)).messages.length === 3)
    await tab.reload()
    await tab.waitForFunction('window.ready')
    await server.publish(user, ids(4, 5))
    await start()
    await until('the rest', async () => (await told(tab)).messages.length === 2)
    assert.deepEqual((await told(tab)).messages, ['m4', 'm5'])
    assert.equal(await tab.evaluate('ramen.counters.resumed'), 1)
    await context.close()
  })
}

const shared = (user, more = '') => `listen(connectTabs({ url: '${url()}', user: '${user}', device: 'd', store: storage(() => localStorage) ${more} }))`

test('two tabs have one stream; the one that is killed is followed by the other, and nothing is processed twice', async () => {
  const context = await browser.newContext()
  const tabs = [await open(context), await open(context)]
  await tabs[0].evaluate(shared('tabs'))
  await until('the first is online', async () => (await state(tabs[0])) === 'online')
  await tabs[1].evaluate(shared('tabs'))
  await until('the second is told so', async () => (await state(tabs[1])) === 'online')
  await server.publish('tabs', ids(1, 5))
  await until('the holder has them', async () => (await told(tabs[0])).messages.length === 5)
  assert.equal((await told(tabs[1])).messages.length, 0)
  const devices = await (await fetch(`${server.backend}/v1/users/tabs/devices`)).json()
  assert.deepEqual(devices.devices.map((d) => d.online), [true])

  const crash = await context.newCDPSession(tabs[0])
  crash.send('Page.crash').catch(() => {})
  await until('the other takes over', async () => (await told(tabs[1])).hellos >= 1)
  await server.publish('tabs', ids(6, 8))
  await until('it has the rest', async () => (await told(tabs[1])).messages.length === 3)
  assert.deepEqual((await told(tabs[1])).messages, ids(6, 8))
  await context.close()
})

test('handle: all has every tab process a message before it is acked', async () => {
  const context = await browser.newContext()
  const tabs = [await open(context), await open(context), await open(context)]
  for (const tab of tabs) {
    await tab.evaluate(shared('all', ", handle: 'all'"))
    await until('online', async () => (await state(tab)) === 'online')
  }
  await server.publish('all', ids(1, 3))
  for (const tab of tabs) {
    await until('each has all', async () => (await told(tab)).messages.length === 3)
    assert.deepEqual((await told(tab)).messages, ids(1, 3))
  }
  await tabs[1].evaluate('ramen.close()')
  await server.publish('all', ids(4, 4))
  await until('the others have the next', async () => (await told(tabs[0])).messages.length === 4 && (await told(tabs[2])).messages.length === 4)
  await until('all is acked', async () => (await (await fetch(`${server.backend}/v1/users/all/messages`)).json()).messages.length === 0)
  await context.close()
})

test('a tab that is frozen gives the stream to another', async () => {
  const context = await browser.newContext()
  const tabs = [await open(context), await open(context)]
  for (const tab of tabs) {
    await tab.evaluate(shared('frozen'))
    await until('online', async () => (await state(tab)) === 'online')
  }
  // A headless Chromium freezes no page that it shows (Page.setWebLifecycleState fires nothing): the event is the test's own.
  await tabs[0].evaluate("document.dispatchEvent(new Event('freeze'))")
  await until('the other is online', async () => (await told(tabs[1])).hellos >= 1 && (await state(tabs[1])) === 'online')
  await server.publish('frozen', ids(1, 2))
  await until('messages', async () => (await told(tabs[1])).messages.length === 2)
  await tabs[0].evaluate("document.dispatchEvent(new Event('resume'))")
  await until('the first listens again', async () => (await state(tabs[0])) === 'online')
  assert.equal((await told(tabs[0])).messages.length, 0)
  await context.close()
})

test('a SharedWorker holds the stream for its pages, and messages wait while there is none', async () => {
  const context = await browser.newContext()
  const name = encodeURIComponent(`${url()} worker`)
  const start = `listen(connectWorker(new SharedWorker('/worker.js', { type: 'module', name: '${name}' })))`
  const tabs = [await open(context), await open(context)]
  for (const tab of tabs) {
    await tab.evaluate(start)
    await until('online', async () => (await state(tab)) === 'online')
  }
  await server.publish('worker', ids(1, 2))
  for (const tab of tabs) await until('both have them', async () => (await told(tab)).messages.length === 2)
  await tabs[0].close()
  await server.publish('worker', ids(3, 3))
  await until('the other has the next', async () => (await told(tabs[1])).messages.length === 3)
  await context.close()
})

test('offline and online (C 10.1, 10.2)', async () => {
  const context = await browser.newContext()
  const tab = await open(context)
  await tab.evaluate(`listen(connect({ url: '${url()}', user: 'offline', device: 'd', heartbeatMs: 1000, transports: [sse()] }))`)
  await until('online', async () => (await state(tab)) === 'online')
  await context.setOffline(true)
  assert.equal(await state(tab), 'online', 'a live stream is kept')
  await server.kill()
  await until('offline', async () => (await state(tab)) === 'offline', 20_000)
  await server.start()
  await server.publish('offline', ids(1, 2))
  const { attempts } = await tab.evaluate('ramen.counters')
  await context.setOffline(false)
  await until('messages', async () => (await told(tab)).messages.length === 2)
  assert.equal((await tab.evaluate('ramen.counters')).attempts, attempts + 1, 'nothing was opened while offline')
  await context.close()
})

test('over a slow network (200 kbit/s, 300 ms) 1,000 messages come once, in order', async () => {
  const context = await browser.newContext()
  const tab = await open(context)
  const devtools = await context.newCDPSession(tab)
  await devtools.send('Network.enable')
  await devtools.send('Network.emulateNetworkConditions', { offline: false, latency: 300, downloadThroughput: 25_000, uploadThroughput: 25_000 })
  await tab.evaluate(`listen(connect({ url: '${url()}', user: 'slow', device: 'd', transports: [sse()] }))`)
  await server.publish('slow', ids(1, 1000))
  await until('all', async () => (await told(tab)).messages.length >= 1000, 60_000)
  assert.deepEqual((await told(tab)).messages, ids(1, 1000))
  await context.close()
})

test('the back-forward cache: the stream is closed, and another is opened when the page is shown again (C 10.4)', async (t) => {
  const context = await browser.newContext()
  const tab = await open(context)
  await tab.evaluate(`listen(connect({ url: '${url()}', user: 'cache', device: 'd' })); window.mark = 1`)
  await until('online', async () => (await state(tab)) === 'online')
  await tab.goto('about:blank')
  await until('the stream is gone', async () => {
    const { devices } = await (await fetch(`${server.backend}/v1/users/cache/devices`)).json()
    return !devices[0].online
  })
  await server.publish('cache', ids(1, 1))
  await tab.goBack({ waitUntil: 'commit' })
  await tab.waitForFunction('window.ready')
  if (!(await tab.evaluate('window.mark'))) return t.skip('this Chromium keeps no page')
  await until('the message', async () => (await told(tab)).messages.length === 1)
  assert.deepEqual((await told(tab)).states, ['connecting', 'online', 'offline', 'waiting', 'connecting', 'online'])
  await context.close()
})

test('the example of a plain page shows messages', async () => {
  const tab = await (await browser.newContext()).newPage()
  await tab.goto(`${origin}/page.html?url=${url()}&user=page`)
  await tab.waitForFunction("document.getElementById('state').textContent.includes('online')")
  await server.publish('page', ids(1, 2))
  await tab.waitForFunction("document.getElementById('log').textContent.split('\\n').length === 3")
  assert.equal(await tab.textContent('#log'), 'medium t: {"id":"m1"}\nmedium t: {"id":"m2"}\n')
  await tab.context().close()
})

test('the example of a React app shows state and messages, and closes what it made', async () => {
  const tab = await (await browser.newContext()).newPage()
  const errors = []
  tab.on('pageerror', (error) => errors.push(error))
  await tab.goto(`${origin}/react?url=${url()}&user=react`)
  await tab.waitForFunction("document.querySelector('p')?.textContent === 'online'")
  await server.publish('react', ids(1, 2))
  await tab.waitForFunction("document.querySelectorAll('li').length === 2")
  assert.deepEqual(await tab.$$eval('li', (all) => all.map((li) => li.textContent)), ['{"id":"m1"}', '{"id":"m2"}'])
  assert.deepEqual(errors, [])
  await tab.context().close()
})
