// The golden vectors of protocol/testdata, read as a stream reads them.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { deliverEvent, eventParser } from '../dist/esm/transports/sse.js'
import { deliver } from '../dist/esm/wire.js'

const vectors = (name) => JSON.parse(readFileSync(new URL(`../../../protocol/testdata/${name}.json`, import.meta.url)))

/** Parses bytes that come in pieces of the given size. */
function parse(bytes, piece) {
  const events = []
  const decoder = new TextDecoder()
  const feed = eventParser((event, data, id, retry_ms) => events.push({ event, id, data, retry_ms }))
  for (let at = 0; at < bytes.length; at += piece) feed(decoder.decode(bytes.subarray(at, at + piece), { stream: true }))
  return events
}

test('SSE streams hold the same events however they are cut', () => {
  const all = vectors('sse')
  assert.ok(all.length > 20)
  for (const { name, stream, stream_hex, events } of all) {
    const bytes = stream_hex ? Buffer.from(stream_hex, 'hex') : Buffer.from(stream)
    for (let piece = 1; piece <= bytes.length; piece++) assert.deepEqual(parse(bytes, piece), events, `${name}, cut every ${piece} bytes`)
  }
})

/** What a sink was told. */
function sink() {
  const told = { frames: [], ends: [] }
  return Object.assign(told, { alive() {}, frame: (frame) => told.frames.push(frame), end: (end) => told.ends.push(end) })
}

/** The members that a vector's input sets, as a frame shows them. */
function check(name, frame, vector, cursorOnly) {
  for (const kind of ['hello', 'push', 'goaway']) {
    const want = vector[kind]
    if (!want) continue
    for (const [field, value] of Object.entries(want)) {
      if (field === 'payload_hex' || field === 'payload_text' || field === 'content_type') continue
      const got = frame[kind][field]
      if (field === 'cursor' && cursorOnly === false) continue
      if (value === null || value === '' || value === 0 || value === false || (typeof value === 'object' && !Object.keys(value).length)) {
        assert.ok(!got || !Object.keys(Object(got)).length, `${name}: ${field} is ${got}`)
      } else assert.deepEqual(got, value, `${name}: ${field}`)
    }
    if (kind === 'push' && want.payload_hex && frame.push.payload_b64) {
      assert.equal(Buffer.from(frame.push.payload_b64, 'base64').toString('hex'), want.payload_hex, name)
    } else if (kind === 'push' && want.payload_text && !/lax|numbers/.test(name)) {
      assert.deepEqual(frame.push.payload, JSON.parse(want.payload_text), name)
    }
  }
}

test('frames as text and as events', () => {
  let texts = 0
  let events = 0
  for (const vector of vectors('frames')) {
    if (!(vector.hello ?? vector.push ?? vector.goaway)) continue
    if (vector.json) {
      const told = sink()
      deliver(told, vector.json, (value) => value)
      assert.equal(told.frames.length, 1, `${vector.name} as text: ${JSON.stringify(told.ends)}`)
      check(vector.name, told.frames[0], vector)
      texts++
    }
    if (vector.sse) {
      const told = sink()
      const feed = eventParser((name, data, id, retry) => deliverEvent(told, name, data, id, retry))
      feed(vector.sse)
      assert.equal(told.frames.length, 1, `${vector.name} as event: ${JSON.stringify(told.ends)}`)
      check(vector.name, told.frames[0], vector)
      events++
    }
  }
  assert.ok(texts > 10 && events > 10)
})
