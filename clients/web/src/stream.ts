import type { Device } from './device.js'
import { claims, leadMs } from './token.js'
import { Alarm, atMost, Backoff, now } from './time.js'
import {
  knownReason, validCursor, words,
  type Connection, type End, type Frame, type GoAway, type Push, type ServerHello, type Transport,
} from './wire.js'

const flushMs = 2000 // the last ack. C 12.5
const mostAckMs = 30_000
const mostReconnectMs = 300_000
const mostPatienceMs = 28_000 // where incomplete frames cannot be seen. SPEC 2.8.4
const lateMs = 500 // a timer that fires so late was held up
const graceMs = 250 // to read what came meanwhile

/** How a stream ended, for the keeper. */
export interface Ended extends End {
  /** The client's own word where the server said none. */
  _cause?: string
  /** Says nothing of network and transport. */
  _own?: boolean
  /** By a drain or rebalance, whose next stream begins within these ms. */
  _withinMs?: number
}

export const isMoving = (reason?: string): boolean => reason === 'drain' || reason === 'rebalance'

export const isRefusal = (reason?: string): boolean => reason === 'unauthenticated' || reason === 'permission_denied'

/**
 * One live connection: opening ──hello──▶ live ──its successor's hello──▶ leaving ──▶ ended. The keeper says which of them
 * it is; the stream opens, reads, watches for silence, acks and renews its token.
 */
export class Stream {
  // The keeper's.
  _liveAt = 0 // 0: no hello yet
  _away = false // it is to be replaced
  _replaced = false // its successor was begun
  // The processor's: pushes read and not processed.
  _waiting = 0
  _waitingBytes = 0

  _dead = false // its pushes count no more
  _token = ''
  readonly _transport: Transport
  readonly _trial: boolean
  readonly _window: number

  readonly #device: Device
  #connection: Connection | undefined
  #ended = false
  #next = 0 // the seq that the next push must have; 0: any
  #said: Ended = {} // the last goaway. C 6.5

  #silenceMs = Infinity
  #heard = 0
  #hurried = false // a heartbeat interval and a quarter have to do. C 10.2
  #graced = false
  readonly #watch = new Alarm(() => this._check())

  // Of the last push processed, and of all that are processed and not acked.
  #seq = 0
  #cursor = ''
  #pushes = 0
  #bytes = 0
  #joinMs = 0
  #acking: Promise<void> | undefined
  #ackFailed = false
  readonly #ackPause = new Backoff()
  readonly #ackAlarm = new Alarm(() => {
    this.#ackFailed = false
    void this.#ack()
  })
  readonly #renewal = new Alarm(() => void this.#renew())

  constructor(device: Device, transport: Transport, trial: boolean) {
    this.#device = device
    this._transport = transport
    this._trial = trial
    this._window = Math.min(device._options.window ?? Infinity, transport.pushes)
  }

  /** Opens the connection. What fails ends the stream. */
  async _open(): Promise<void> {
    this.#allow(this.#device._options.connectTimeoutMs ?? 10_000)
    try {
      this._token = await this.#device._tokens._next()
    } catch (error) {
      return this._end({ _cause: 'token', _own: true, detail: words(error) })
    }
    await this.#device._load(this._token)
    if (this.#ended) return
    try {
      this.#connection = this._transport.open(this.#device._opening(this._token), {
        alive: () => this.#alive(),
        frame: (frame, size, retryAfterMs) => this.#ended || this.#frame(frame, size, retryAfterMs),
        end: (end) => this._end(end),
      })
    } catch (error) {
      this._end({ detail: words(error) })
    }
  }

  /** Ends the stream, and tells the keeper why. */
  _end(end: Ended): void {
    if (this.#ended) return
    this._drop()
    this.#device.keeper._ended(this, this.#said.reason && !end.reason ? { ...end, ...this.#said } : end)
  }

  /** Ends the stream without a word to the keeper. */
  _drop(): void {
    this.#ended = this._dead = true
    for (const alarm of [this.#watch, this.#ackAlarm, this.#renewal]) alarm._stop()
    this.#connection?.close()
  }

  /** Acks what is processed, for at most 2 s. */
  _flush(): Promise<unknown> {
    return atMost(flushMs, this.#ack().then(() => this.#connection?.flush?.()))
  }

  /** Acks what is processed without waiting for the answer, and drops the stream: the page may be gone at once. C 10.4 */
  _quit(): void {
    if (this._liveAt && this.#pushes) void this.#send(true)
    this._drop()
  }

  /** Lets go of the stream for a reason of the client's own; what was processed before is acked first. C 5.3 */
  _letGo(cause: string): void {
    this._dead = true
    void this._flush().then(() => this._end({ _cause: cause, _own: true }))
  }

  // Silence

  #allow(ms: number): void {
    this.#silenceMs = ms
    this.#alive()
    this._check()
  }

  #alive(): void {
    this.#heard = now()
    this.#hurried = this.#graced = false
  }

  /** The network is another: the stream has 5/7 of its silence to show that it lives. C 10.2 */
  _hurry(): void {
    this.#alive()
    this.#hurried = true
    this._check()
  }

  /** Judges the silence. A timer that is late waits for what was not read yet. C 4.6 */
  _check(): void {
    if (this.#ended || this.#silenceMs === Infinity) return
    const late = this.#watch._rest < -lateMs
    const rest = this.#heard + this.#silenceMs * (this.#hurried ? 5 / 7 : 1) - now()
    if (rest > 0) return this.#watch._set(rest)
    if (late && !this.#graced) {
      this.#graced = true
      return this.#watch._set(graceMs)
    }
    this._end(this.#connection ? { _cause: 'silent', silent: true } : { _cause: 'token', _own: true, detail: 'no token in time' })
  }

  // Reading

  #frame(frame: Frame, size: number, retryAfterMs?: number): void {
    const { hello, push, goaway } = frame ?? {}
    if (hello) this.#hello(hello)
    else if (goaway) this.#goAway(goaway, retryAfterMs)
    else if (frame?.heartbeat !== undefined) {
      this.#device._counters.heartbeats++
      this.#connection?.echo?.()
    } else if (!this._liveAt) this._end({ detail: 'no hello' }) // C 3.4
    else if (push) this.#push(push, size)
  }

  #hello(hello: ServerHello): void {
    const { polls, blind, twoWay } = this._transport
    if (!polls) this.#next = (hello.seq ?? 0) + 1
    if (!this._liveAt) {
      const silence = hello.timeout_ms || (this.#device._options.heartbeatMs ?? 4000) * 1.75
      this.#allow(polls ? Infinity : this.#patience(Math.min(Math.max(silence, 1750), 105_000), blind))
      this.#joinMs = polls ? 0 : Math.min(hello.ack_ms ?? 0, mostAckMs) * (twoWay ? 1 : 0.75) // C 12.2
    }
    this.#device.keeper._hello(this, hello)
    if (this.#ended) return
    if (!this.#renewal._on) this.#renewIn()
    const cursor = validCursor(hello.cursor)
    if (cursor) this.#device._processor._begin(this, cursor, hello.resumed)
  }

  /** Doubles the silence for each death by it since the last push. SPEC 2.8.4 */
  #patience(ms: number, blind?: boolean): number {
    return blind ? Math.min(ms * 2 ** this.#device._doublings, Math.max(ms, mostPatienceMs)) : ms
  }

  #push(push: Push, size: number): void {
    const { _counters: counters, _processor: processor } = this.#device
    counters.pushes++
    if (push.redelivered) counters.redelivered++
    if (typeof push.id !== 'string') return this._end({ detail: 'push without id' })
    if (this.#next && push.seq !== this.#next++) {
      counters.gaps++
      return this._letGo('gap')
    }
    this.#device._doublings = 0
    if (!this._dead && !processor._put(this, push, size)) this._letGo('overrun')
  }

  /** A wish to be replaced is passed on; any other goaway ends the stream, as does one before hello. */
  #goAway({ reason, reconnect_ms, detail }: GoAway, retryAfterMs?: number): void {
    this.#device._counters.goaways++
    const said: Ended = { reason: knownReason(reason), detail, retryAfterMs }
    if (isMoving(reason)) said._withinMs = Math.min(reconnect_ms || 0, mostReconnectMs)
    if (said._withinMs === undefined || !this._liveAt || this._transport.polls) return this._end(said)
    this.#said = said
    this.#device.keeper._goAway(this, said._withinMs)
  }

  // Acks

  /** Notes a push that the app is done with. */
  _processed({ seq, cursor }: Push, size: number): void {
    if (this._dead) return
    this.#seq = seq
    this.#cursor = validCursor(cursor)
    this.#pushes++
    this.#bytes += size
    this.#ackSoon()
  }

  #ackSoon(): void {
    if (this.#acking || this.#ackFailed || !this.#pushes || this.#ended) return
    const due = this.#pushes * 2 >= this._window || this.#bytes * 2 >= this._transport.bytes
    if (due || !this.#joinMs) void this.#ack()
    else if (!this.#ackAlarm._on) this.#ackAlarm._set(this.#joinMs)
  }

  async #ack(): Promise<void> {
    await this.#acking
    if (!this.#pushes || !this.#connection || this.#ended) return
    await (this.#acking = this.#send())
    this.#acking = undefined
    this.#ackSoon()
  }

  async #send(last?: boolean): Promise<void> {
    const pushes = this.#pushes
    const bytes = this.#bytes
    this.#ackAlarm._stop()
    try {
      // Within a poll's answer there is no cursor: its last push has it.
      const sent = this.#cursor || this._transport.twoWay ? this.#connection!.ack(this.#seq, this.#cursor, last) : null
      if (sent !== null) this.#device._counters.acks++
      await sent
      this.#pushes -= pushes
      this.#bytes -= bytes
      this.#ackPause.reset()
    } catch (error) {
      const { reason, detail, retryAfterMs = 0 } = error as End
      // The place is lost, or the token is refused: a new stream begins without it. C 12.2, C 9.3
      if (reason === 'invalid_argument' || isRefusal(reason)) return this._end({ reason, detail })
      if (this.#ended) return
      this.#ackFailed = true
      this.#ackAlarm._set(retryAfterMs + this.#ackPause.next())
    }
  }

  // Tokens

  #renewIn(): void {
    const left = this.#device._leftMs(claims(this._token).exp)
    if (left < Infinity) this.#renewal._set(left - leadMs(left))
  }

  /** Asks for a new token before the old one's end, again until there is one, and hands it on. */
  async #renew(): Promise<void> {
    const left = this.#device._leftMs(claims(this._token).exp)
    if (left <= 0) return // the server ends the stream
    const token = await this.#device._tokens._next().catch(() => '')
    if (this.#ended) return
    if (!token || token === this._token) return this.#renewal._set(leadMs(left) / 4)
    this._token = token
    if (this.#connection!.refresh) {
      this.#connection!.refresh(token)
      this.#renewIn()
    } else this.#device.keeper._replace(this)
  }
}
