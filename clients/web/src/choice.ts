import { now } from './time.js'
import type { Transport } from './wire.js'

const mostPreferAfterMs = 3_600_000

/**
 * Says over which transport to open the next stream (C 11): the preferred one until `fallbackAfter` attempts in a row have
 * failed without a word of the server's, then the next, and after the last the first again. On a fallback the preferred one
 * is tried beside the stream that lives; each trial that fails doubles the time until the next, up to 1 h.
 */
export class Choice {
  readonly #all: Transport[]
  readonly #after: number
  readonly #first: number
  #at = 0
  #failures = 0
  #pause = 0
  #due = 0

  constructor(all: Transport[], fallbackAfter = 2, preferAfterMs = 300_000) {
    this.#all = all
    this.#after = fallbackAfter
    this.#first = preferAfterMs
  }

  get preferred(): Transport {
    return this.#all[0]!
  }

  get current(): Transport {
    return this.#all[this.#at]!
  }

  /** ms until the next trial of the preferred transport; nothing where there is none to come. */
  get trialIn(): number | undefined {
    return this.#at && this.#first ? Math.max(0, this.#due - now()) : undefined
  }

  /** Counts a failure, and says whether the client falls back on another transport. */
  failed(): boolean {
    if (++this.#failures < this.#after || this.#all.length === 1) return false
    this.#failures = 0
    this.#at = (this.#at + 1) % this.#all.length
    if (this.#at === 1) this.#wait(this.#first)
    return this.#at > 0
  }

  worked(): void {
    this.#failures = 0
  }

  /** Says how a trial went. */
  tried(well: boolean): void {
    if (well) this.#at = this.#failures = 0
    else this.#wait(Math.min(2 * this.#pause, Math.max(mostPreferAfterMs, this.#first)))
  }

  #wait(ms: number): void {
    this.#pause = ms
    this.#due = now() + ms
  }
}
