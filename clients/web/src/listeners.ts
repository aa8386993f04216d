import type { Consumer } from './processor.js'
import type { Closed, Events, Message } from './types.js'

type Listener = (event: never, signal?: AbortSignal) => unknown

/** Who listens to a client, and the loop over its messages. */
export class Listeners implements AsyncIterable<Message> {
  /** Who takes messages: the loop, else the listeners; nobody where there is neither. */
  _consumer: Consumer | undefined
  readonly #all: { [name: string]: Set<Listener> } = {}
  readonly #changed: () => void
  #loop: Loop | undefined
  #closed: Closed | undefined

  constructor(changed: () => void) {
    this.#changed = changed
  }

  _on(name: string, listener: Listener): () => void {
    const set = (this.#all[name] ??= new Set())
    set.add(listener)
    this.#consume()
    return () => {
      set.delete(listener)
      this.#consume()
    }
  }

  /** Tells all. A listener that throws changes nothing. C 2.7 */
  readonly _emit = <K extends keyof Events>(name: K, event: Events[K]): void => {
    const failed = (error: unknown): void => {
      if (name !== 'error') this._emit('error', { of: 'listener', error })
    }
    for (const listener of this.#all[name] ?? []) {
      try {
        const result = listener(event as never)
        if (result instanceof Promise) result.catch(failed)
      } catch (error) {
        failed(error)
      }
    }
  }

  /** The last that is told. */
  _end(closed: Closed): void {
    this.#closed = closed
    this._emit('closed', closed)
    this.#loop?._end(closed)
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    const loop = (this.#loop = new Loop(() => {
      if (this.#loop === loop) this.#loop = undefined
      this.#consume()
    }))
    if (this.#closed) loop._end(this.#closed)
    this.#consume()
    return loop
  }

  #consume(): void {
    const { message: listeners } = this.#all
    const all: Consumer = async (message, signal) => {
      for (const listener of listeners!) await listener(message as never, signal)
    }
    this._consumer = this.#loop?._consumer ?? (listeners?.size ? all : undefined)
    this.#changed()
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

  readonly _consumer: Consumer = (message, signal) =>
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

  _end(closed: Closed): void {
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
