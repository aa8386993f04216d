import { Device } from './device.js'
import { Listeners } from './listeners.js'
import { browser } from './platform.js'
import { check } from './settings.js'
import { atMost } from './time.js'
import type { Closed, Counters, Events, Message, Options, Ramen, State } from './types.js'

const closeMs = 5000 // for the message under way; the last ack has a time of its own. C 12.6

/** The client of one device. It begins in the next microtask, so that listeners hear its first state. */
export class Client implements Ramen {
  readonly device: Device
  readonly #listeners = new Listeners(() => {
    const { _processor: processor } = this.device
    processor._consumer = this.#listeners._consumer
    processor._wake()
  })
  readonly #unlisten: () => void
  #closing: Promise<void> | undefined

  constructor(options: Options) {
    check(options)
    this.device = new Device(options, this.#listeners._emit, (reason, detail) => this.#finish({ reason, detail }))
    const { keeper } = this.device
    this.#unlisten = (options.platform ?? browser)(keeper)
    options.signal?.addEventListener('abort', () => void this.close())
    queueMicrotask(() => (options.signal?.aborted ? void this.close() : this.#closing || keeper._start()))
  }

  get state(): State {
    return this.device.keeper._state
  }

  get counters(): Readonly<Counters> {
    return this.device._counters
  }

  on<K extends keyof Events>(name: K, listener: (event: Events[K], signal?: AbortSignal) => unknown): () => void {
    return this.#listeners._on(name, listener)
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    return this.#listeners[Symbol.asyncIterator]()
  }

  reconnect(): void {
    this.device.keeper._reconnect()
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    const { keeper, _processor: processor, _place: place } = this.device
    processor._stop()
    await atMost(closeMs, processor._busy ?? Promise.resolve())
    await keeper._flush()
    keeper.stop()
    await place._save()
    // A handler that waits for close() must not wait for itself.
    void Promise.resolve(processor._busy).then(() => this.#end({ reason: 'closed' }))
  }

  #finish(closed: Closed): void {
    this.#closing = Promise.resolve()
    this.device._processor._stop()
    this.device.keeper.stop()
    void this.device._place._save()
    this.#end(closed)
  }

  #end(closed: Closed): void {
    this.#unlisten()
    this.device.keeper._enter('stopped', { _cause: closed.reason, detail: closed.detail })
    this.#listeners._end(closed)
  }
}
