// Time is monotonic: a stepped clock changes nothing. C 4.6

export const now = (): number => performance.now()

/** A moment within ms, drawn. */
export const within = (ms: number): number => Math.random() * ms

/** Runs act after ms; answers what clearTimeout takes. Platforms take a longer time than this for none. */
export const later = (ms: number, act: () => void): Timer => setTimeout(act, Math.min(ms, 2 ** 31 - 1))

export type Timer = ReturnType<typeof setTimeout>

/** The promise, or nothing where it takes longer than ms. */
export function atMost<T>(ms: number, promise: Promise<T>): Promise<T | void> {
  let timer: Timer
  return Promise.race([promise, new Promise<void>((done) => (timer = later(ms, done)))]).finally(() => clearTimeout(timer))
}

/** A stream that lived so long has worked: pauses and failures start anew. C 7.2 */
export const stableMs = 30_000

/** Pauses with full jitter: from 0 to a bound of 1 s, doubling to 30 s. C 7.1 */
export class Backoff {
  #failures = 0

  next(): number {
    return within(Math.min(1000 * 2 ** this.#failures++, 30_000))
  }

  reset(): void {
    this.#failures = 0
  }
}

/** A timer that knows when it is due. */
export class Alarm {
  #timer: Timer | undefined
  #due = 0
  readonly #act: () => void

  constructor(act: () => void) {
    this.#act = act
  }

  get _on(): boolean {
    return this.#timer !== undefined
  }

  get _rest(): number {
    return this.#due - now()
  }

  _set(ms: number): void {
    this._stop()
    this.#due = now() + ms
    this.#timer = later(ms, () => {
      this._stop()
      this.#act()
    })
  }

  _stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
