// The package as it will be published: its README's start, its files, its size.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { after, test } from 'node:test'
import { bundles, sizeOf } from '../scripts/size.mjs'
import { until } from './help.mjs'
import { Ramen } from './ramen.mjs'

const root = new URL('..', import.meta.url).pathname
const readme = readFileSync(`${root}README.md`, 'utf8')
const server = new Ramen()
after(() => server.end())

let runs = 0

/** Runs the README's block of code that has these words, with only the address another. */
function run(t, words) {
  const code = readme.match(/```js\n[^]*?```/g).find((block) => block.includes(words)).replace(/```(js\n)?/g, '')
  const file = `${root}start-${process.pid}-${++runs}.mjs`
  writeFileSync(file, code.replace('http://127.0.0.1:8080', server.url).replace('http://127.0.0.1:9080', server.backend))
  const child = spawn(process.execPath, [file])
  const ran = { out: '', code: undefined }
  for (const pipe of [child.stdout, child.stderr]) pipe.on('data', (data) => (ran.out += data))
  child.on('exit', (code) => (ran.code = code))
  t.after(() => {
    child.kill()
    rmSync(file)
  })
  return ran
}

test('the README starts a device and a publisher, as it stands', async (t) => {
  await server.start()
  const device = run(t, 'for await (const message of ramen)')
  await until('online', () => device.out.includes('online'), 30_000)
  const publisher = run(t, 'new Publisher')
  await until('the publisher ends', () => publisher.code !== undefined, 30_000)
  assert.equal(publisher.code, 0, publisher.out)
  await until('the message', () => device.out.includes("hello { text: 'it works' }"), 30_000)
})

test('CommonJS finds the same', () => {
  const require = createRequire(import.meta.url)
  for (const [name, member] of [['ramen-client', 'connect'], ['ramen-client/core', 'sse'], ['ramen-client/tabs', 'connectTabs'], ['ramen-client/publisher', 'Publisher']]) {
    assert.equal(typeof require(name)[member], 'function', name)
  }
})

test('npm pack has what package.json names, and no more', () => {
  const [{ files }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8' }))
  const paths = files.map((file) => file.path)
  for (const path of ['README.md', 'CHANGELOG.md', 'LICENSE', 'package.json', 'dist/ramen.min.js']) assert.ok(paths.includes(path), path)
  const { exports } = JSON.parse(readFileSync(`${root}package.json`))
  for (const entry of Object.values(exports).flatMap((e) => (typeof e === 'string' ? [] : Object.values(e).flatMap(Object.values)))) {
    assert.ok(paths.includes(entry.slice(2)), entry)
  }
  assert.deepEqual(paths.filter((path) => !/^(dist|src)\/|^(README|CHANGELOG)\.md$|^LICENSE$|^package\.json$/.test(path)), [])
})

const table = await Promise.all(Object.entries(bundles).map(async ([name, { code, most }]) => ({ name, most, bytes: await sizeOf(code) })))
for (const { name, bytes, most } of table) test(`${name}: at most ${most} bytes`, () => assert.ok(bytes <= most, `${bytes} bytes`))

test('the README has the sizes of today', () => {
  for (const { name, bytes } of table) assert.ok(readme.includes(`| ${name} | ${(bytes / 1024).toFixed(1)} KiB |`), `${name}: ${bytes}`)
})
