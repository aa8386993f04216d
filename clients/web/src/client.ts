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
    const { processor } = this.device
    processor.consumer = this.#listeners.consumer
    processor.wake()
  })
  readonly #unlisten: () => void
  #closing: Promise<void> | undefined

  constructor(options: Options) {
    check(options)
    this.device = new Device(options, this.#listeners.emit, (reason, detail) => this.#finish({ reason, detail }))
    const { keeper } = this.device
    this.#unlisten = (options.platform ?? browser)(keeper)
    options.signal?.addEventListener('abort', () => void this.close())
    queueMicrotask(() => (options.signal?.aborted ? void this.close() : this.#closing || keeper.start()))
  }

  get state(): State {
    return this.device.keeper.state
  }

  get counters(): Readonly<Counters> {
    return this.device.counters
  }

  on<K extends keyof Events>(name: K, listener: (event: Events[K], signal?: AbortSignal) => unknown): () => void {
    return this.#listeners.on(name, listener)
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    return this.#listeners[Symbol.asyncIterator]()
  }

  reconnect(): void {
    this.device.keeper.reconnect()
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    const { keeper, processor, place } = this.device
    processor.stop()
    await atMost(closeMs, processor.busy ?? Promise.resolve())
    await keeper.flush()
    keeper.stop()
    await place.save()
    // A handler that waits for close() must not wait for itself.
    void Promise.resolve(processor.busy).then(() => this.#end({ reason: 'closed' }))
  }

  #finish(closed: Closed): void {
    this.#closing = Promise.resolve()
    this.device.processor.stop()
    this.device.keeper.stop()
    void this.device.place.save()
    this.#end(closed)
  }

  #end(closed: Closed): void {
    this.#unlisten()
    this.device.keeper.enter('stopped', { cause: closed.reason, detail: closed.detail })
    this.#listeners.end(closed)
  }
}
