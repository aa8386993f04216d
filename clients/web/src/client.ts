import { Device } from './device.js'
import { browser } from './platform.js'
import type { Consumer } from './processor.js'
import { check } from './settings.js'
import { atMost } from './time.js'
import type { Closed, Counters, Events, Message, Options, Ramen, State } from './types.js'

const closeMs = 2000 // for the message under way, then for the last ack. C 12.5

type Listener = (event: never, signal?: AbortSignal) => unknown

/** The client of one device. It begins in the next microtask, so that listeners hear its first state. */
export class Client implements Ramen {
  readonly device: Device
  readonly #listeners: { [name: string]: Set<Listener> } = {}
  readonly #unlisten: () => void
  #closing: Promise<void> | undefined
  #closed: Closed | undefined
  #loop: Loop | undefined

  constructor(options: Options) {
    check(options)
    this.device = new Device(options, this.#emit, (reason, detail) => this.#finish({ reason, detail }))
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
    const set = (this.#listeners[name] ??= new Set())
    set.add(listener)
    this.#consume()
    return () => {
      set.delete(listener)
      this.#consume()
    }
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
    this.#closed = closed
    this.#unlisten()
    this.device.keeper.enter('stopped', { cause: closed.reason, detail: closed.detail })
    this.#emit('closed', closed)
    this.#loop?.end(closed)
  }

  /** A listener that throws changes nothing. C 2.7 */
  #emit = <K extends keyof Events>(name: K, event: Events[K]): void => {
    const failed = (error: unknown): void => {
      if (name !== 'error') this.#emit('error', { of: 'listener', error })
    }
    for (const listener of this.#listeners[name] ?? []) {
      try {
        const result = listener(event as never)
        if (result instanceof Promise) result.catch(failed)
      } catch (error) {
        failed(error)
      }
    }
  }

  /** Says who takes messages: the loop over the client, else its listeners. */
  #consume(): void {
    const listeners = this.#listeners.message
    const all: Consumer = async (message, signal) => {
      for (const listener of listeners!) await listener(message as never, signal)
    }
    const { processor } = this.device
    processor.consumer = this.#loop?.consumer ?? (listeners?.size ? all : undefined)
    processor.wake()
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    const loop = (this.#loop = new Loop(() => {
      if (this.#loop === loop) this.#loop = undefined
      this.#consume()
    }))
    if (this.#closed) loop.end(this.#closed)
    this.#consume()
    return loop
  }
}

/** A loop over messages. One counts as processed when the loop asks for the next. C 15 */
class Loop implements AsyncIterator<Message> {
  readonly #left: () => void
  #offered: { message: Message; done: (kept: boolean) => void } | undefined
  #taken: ((kept: boolean) => void) | undefined
  #waiting: { resolve: (result: IteratorResult<Message>) => void; reject: (error: Error) => void } | undefined
  #closed: Closed | undefined

  constructor(left: () => void) {
    this.#left = left
  }

  readonly consumer: Consumer = (message, signal) =>
    new Promise<boolean>((done) => {
      this.#offered = { message, done }
      signal.addEventListener('abort', () => this.#offered && done(false)) // it was not begun
      this.#give()
    })

  next(): Promise<IteratorResult<Message>> {
    this.#settle(true)
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#give()
    })
  }

  async return(): Promise<IteratorResult<Message>> {
    this.#settle(false)
    this.#left()
    return { done: true, value: undefined }
  }

  end(closed: Closed): void {
    this.#closed = closed
    this.#give()
  }

  #settle(kept: boolean): void {
    this.#taken?.(kept)
    this.#taken = undefined
  }

  #give(): void {
    const waiting = this.#waiting
    if (!waiting) return
    if (this.#closed) {
      const { reason, detail } = this.#closed
      if (reason === 'closed') waiting.resolve({ done: true, value: undefined })
      else waiting.reject(Object.assign(Error(`ramen: ${reason}: ${detail ?? ''}`), { reason }))
    } else if (this.#offered) {
      this.#taken = this.#offered.done
      waiting.resolve({ done: false, value: this.#offered.message })
      this.#offered = undefined
    } else return
    this.#waiting = undefined
  }
}
