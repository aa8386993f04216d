import type { Device } from './device.js'
import type { Stream } from './stream.js'
import type { Message } from './types.js'
import { type Push, validCursor } from './wire.js'

const remembered = 2048 // ids. C 5.2

/** Handles one message. It has not processed it where it throws; where it answers false, the message waits for the next consumer. */
export type Consumer = (message: Message, signal: AbortSignal) => Promise<unknown>

interface Item {
  stream: Stream
  push?: Push // none: a hello's place
  size: number
  cursor: string
  resumed?: boolean
}

/** Hands pushes to the app one at a time, in their order (C 5). It alone moves the cursor, which so never covers what was not processed. */
export class Processor {
  _consumer: Consumer | undefined
  _busy: Promise<void> | undefined
  readonly _seen = new Set<string>()
  readonly #device: Device
  readonly #stop = new AbortController()
  #items: Item[] = []

  constructor(device: Device) {
    this.#device = device
  }

  /** Takes a push, and never waits. The server sends no more than the window: more is not taken. C 4.8 */
  _put(stream: Stream, push: Push, size: number): boolean {
    // Twice the bytes: what the server counts need not be what is counted here.
    if (stream._waiting && (stream._waiting >= stream._window || stream._waitingBytes + size > 2 * stream._transport.bytes)) return false
    stream._waiting++
    stream._waitingBytes += size
    this.#add({ stream, push, size, cursor: validCursor(push.cursor) })
    return true
  }

  /** Takes over where a stream begins, ahead of its pushes, if the device has no place that the server honours. SPEC 2.2.14 */
  _begin(stream: Stream, cursor: string, resumed: boolean): void {
    this.#add({ stream, size: 0, cursor, resumed })
  }

  _wake(): void {
    this._busy ??= this.#run()
  }

  /** Begins nothing any more; what is under way is told. */
  _stop(): void {
    this.#stop.abort()
    this.#items = []
  }

  #add(item: Item): void {
    if (this.#stop.signal.aborted) return
    this.#items.push(item)
    this._wake()
  }

  async #run(): Promise<void> {
    await Promise.resolve() // the app is told of hello first. C 5.8
    let item
    while ((item = this.#items[0])) {
      const { stream, push, cursor } = item
      // What is dead comes again on the successor. C 5.7
      if (!stream._dead) {
        if (push) {
          const kept = await this.#process(stream, push)
          if (kept === false) break
          if (kept && cursor) this.#device._place._moved(cursor)
          if (kept) stream._processed(push, item.size)
        } else if (!item.resumed || !this.#device._place._cursor) this.#device._place._moved(cursor)
      }
      if (this.#items[0] === item) this.#items.shift()
      stream._waiting -= push ? 1 : 0
      stream._waitingBytes -= item.size
    }
    this._busy = undefined
    void this.#device._place._save()
  }

  /** Answers true where the push is processed, undefined where it failed, false where nobody takes it now. */
  async #process(stream: Stream, push: Push): Promise<boolean | undefined> {
    const { _counters: counters, _emit: emit, _processed: processed } = this.#device
    if (this._seen.has(push.id)) {
      counters.duplicates++
      return true
    }
    if (!this._consumer) return false
    try {
      if ((await this._consumer(messageOf(push), this.#stop.signal)) === false) return false
    } catch (error) {
      counters.handlerErrors++
      emit('error', { of: 'handler', error })
      stream._letGo('handler')
      return
    }
    counters.handled++
    this._remember(push.id)
    processed?.(push.id, validCursor(push.cursor))
    return true
  }

  _remember(id: string): void {
    this._seen.add(id)
    if (this._seen.size > remembered) this._seen.delete(this._seen.values().next().value!)
  }
}

function messageOf(push: Push): Message {
  const text = push.payload_b64
  return {
    id: push.id,
    type: push.type,
    priority: push.priority,
    payload: text ? Uint8Array.from(atob(text), (c) => c.charCodeAt(0)) : push.payload,
    contentType: push.content_type ?? 'application/json',
    createdMs: push.created_ms,
    expiresMs: push.expires_ms,
    collapseKey: push.collapse_key,
    headers: push.headers,
    redelivered: !!push.redelivered,
    seq: push.seq,
  }
}
