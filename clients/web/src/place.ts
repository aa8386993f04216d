import { atMost, later, type Timer } from './time.js'
import type { CursorStore } from './types.js'
import { validCursor } from './wire.js'

const saveEvery = 64 // pushes
const saveEveryMs = 5000
const storeTimeoutMs = 2000

/** Where the device stands, and its store. The store holds up nothing but its own calls. C 8 */
export class Place {
  _cursor = ''
  readonly #store: CursorStore | undefined
  readonly #failed: (error: unknown) => void
  #key = ''
  #moves = 0 // since the last save began
  #timer: Timer | undefined
  #saving: Promise<void> | undefined
  #failing = false

  constructor(store: CursorStore | undefined, failed: (error: unknown) => void) {
    this.#store = store
    this.#failed = failed
  }

  /** Loads once. A store that fails, answers no cursor, or takes too long is no place. */
  async _load(key: string): Promise<void> {
    if (this.#key) return
    this.#key = key
    await this.#call(async () => {
      const cursor = validCursor(await this.#store?.load(key))
      this._cursor ||= cursor
    })
  }

  _moved(cursor: string): void {
    this._cursor = cursor
    if (++this.#moves >= saveEvery) void this._save()
    else this.#timer ??= later(saveEveryMs, () => void this._save())
  }

  /** Saves what has moved. One save at a time. */
  async _save(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#saving
    if (!this.#moves) return
    this.#moves = 0
    await (this.#saving = this.#call(async () => this.#store?.save(this.#key, this._cursor)))
    this.#saving = undefined
  }

  /** Tells a failure once for each run of them. */
  async #call(act: () => Promise<unknown>): Promise<void> {
    let late = true
    try {
      await atMost(storeTimeoutMs, act().then(() => (late = false)))
      if (late) throw Error('no answer in time')
      this.#failing = false
    } catch (error) {
      if (!this.#failing) this.#failed(error)
      this.#failing = true
    }
  }
}
