import { Keeper } from './keeper.js'
import { Place } from './place.js'
import { Processor } from './processor.js'
import { now } from './time.js'
import { claims, Tokens } from './token.js'
import type { Counters, Events, Options } from './types.js'
import type { Opening, Query } from './wire.js'

export const version = '1.0.0'

/** What the parts of a client share. */
export class Device {
  readonly _options: Options
  readonly _counters = {} as Counters
  readonly _tokens: Tokens
  readonly _place: Place
  readonly _processor: Processor
  readonly keeper: Keeper
  readonly _emit: <K extends keyof Events>(name: K, event: Events[K]) => void
  /** Is told of each message that was processed. */
  _processed: ((id: string, cursor: string) => void) | undefined
  /** Ends the client for good, for a reason of the server's. */
  readonly _finish: (reason: string, detail?: string) => void
  /** How often the silence allowed is doubled. SPEC 2.8.4 */
  _doublings = 0
  #epoch = Date.now() - now() // ms since 1970 at which the monotonic clock is 0

  constructor(options: Options, emit: Device['_emit'], finish: Device['_finish']) {
    this._options = options
    this._emit = emit
    this._finish = finish
    const names =
      'attempts streams resumed expired pushes redelivered duplicates handled handlerErrors acks heartbeats goaways silences gaps fallbacks'
    for (const name of names.split(' ')) this._counters[name as keyof Counters] = 0
    this._tokens = new Tokens(options.token)
    this._place = new Place(options.store, (error) => emit('error', { of: 'store', error }))
    this._processor = new Processor(this)
    this.keeper = new Keeper(this)
  }

  /** The place belongs to server, user and device. C 8.5 */
  _load(token: string): Promise<void> {
    const { url, user, device } = this._options
    return this._place._load(['ramen', url, user ?? claims(token).sub ?? '', device ?? ''].join(' '))
  }

  _opening(token: string): Opening {
    const { url, user, device, window, heartbeatMs, context = {}, credentials = 'omit' } = this._options
    const { labels, ...rest } = context
    const query: Query = { ...rest, window, heartbeat_ms: heartbeatMs }
    for (const [name, value] of Object.entries({ client: 'web', client_version: version, ...labels })) query[`label.${name}`] = value
    return {
      url: url.replace(/\/+$/, ''),
      identity: { user, device },
      query,
      cursor: this._place._cursor,
      token,
      credentials,
      fetch: this._options.fetch ?? globalThis.fetch.bind(globalThis),
    }
  }

  /** Takes the server's clock: the device's may be wrong. */
  _serverTime(ms: number): void {
    if (ms) this.#epoch = ms - now()
  }

  /** ms until exp, in seconds since 1970; without one, for ever. */
  _leftMs(exp: unknown): number {
    return typeof exp === 'number' ? exp * 1000 - this.#epoch - now() : Infinity
  }
}
