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
  cause?: string
  /** Says nothing of network and transport. */
  own?: boolean
  /** By a drain or rebalance, whose next stream begins within these ms. */
  withinMs?: number
}

export const isMoving = (reason?: string): boolean => reason === 'drain' || reason === 'rebalance'

export const isRefusal = (reason?: string): boolean => reason === 'unauthenticated' || reason === 'permission_denied'

/**
 * One live connection: opening ──hello──▶ live ──its successor's hello──▶ leaving ──▶ ended. The keeper says which of them
 * it is; the stream opens, reads, watches for silence, acks and renews its token.
 */
export class Stream {
  // The keeper's.
  liveAt = 0 // 0: no hello yet
  away = false // it is to be replaced
  replaced = false // its successor was begun
  // The processor's: pushes read and not processed.
  waiting = 0
  waitingBytes = 0

  dead = false // its pushes count no more
  token = ''
  readonly transport: Transport
  readonly trial: boolean
  readonly window: number

  readonly #device: Device
  #connection: Connection | undefined
  #ended = false
  #next = 0 // the seq that the next push must have; 0: any
  #said: Ended = {} // the last goaway. C 6.5

  #silenceMs = Infinity
  #heard = 0
  #hurried = false // a heartbeat interval and a quarter have to do. C 10.2
  #graced = false
  readonly #watch = new Alarm(() => this.check())

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
    this.transport = transport
    this.trial = trial
    this.window = Math.min(device.options.window ?? Infinity, transport.pushes)
  }

  /** Opens the connection. What fails ends the stream. */
  async open(): Promise<void> {
    this.#allow(this.#device.options.connectTimeoutMs ?? 10_000)
    try {
      this.token = await this.#device.tokens.next()
    } catch (error) {
      return this.end({ cause: 'token', own: true, detail: words(error) })
    }
    await this.#device.load(this.token)
    if (this.#ended) return
    try {
      this.#connection = this.transport.open(this.#device.opening(this.token), {
        alive: () => this.#alive(),
        frame: (frame, size, retryAfterMs) => this.#ended || this.#frame(frame, size, retryAfterMs),
        end: (end) => this.end(end),
      })
    } catch (error) {
      this.end({ detail: words(error) })
    }
  }

  /** Ends the stream, and tells the keeper why. */
  end(end: Ended): void {
    if (this.#ended) return
    this.drop()
    this.#device.keeper.ended(this, this.#said.reason && !end.reason ? { ...end, ...this.#said } : end)
  }

  /** Ends the stream without a word to the keeper. */
  drop(): void {
    this.#ended = this.dead = true
    for (const alarm of [this.#watch, this.#ackAlarm, this.#renewal]) alarm.stop()
    this.#connection?.close()
  }

  /** Acks what is processed, for at most 2 s. */
  flush(): Promise<unknown> {
    return atMost(flushMs, this.#ack().then(() => this.#connection?.flush?.()))
  }

  /** Acks what is processed without waiting for the answer, and drops the stream: the page may be gone at once. C 10.4 */
  quit(): void {
    if (this.liveAt && this.#pushes) void this.#send(true)
    this.drop()
  }

  /** Lets go of the stream for a reason of the client's own; what was processed before is acked first. C 5.3 */
  letGo(cause: string): void {
    this.dead = true
    void this.flush().then(() => this.end({ cause, own: true }))
  }

  // Silence

  #allow(ms: number): void {
    this.#silenceMs = ms
    this.#alive()
    this.check()
  }

  #alive(): void {
    this.#heard = now()
    this.#hurried = this.#graced = false
  }

  /** The network is another: the stream has 5/7 of its silence to show that it lives. C 10.2 */
  hurry(): void {
    this.#alive()
    this.#hurried = true
    this.check()
  }

  /** Judges the silence. A timer that is late waits for what was not read yet. C 4.6 */
  check(): void {
    if (this.#ended || this.#silenceMs === Infinity) return
    const late = this.#watch.rest < -lateMs
    const rest = this.#heard + this.#silenceMs * (this.#hurried ? 5 / 7 : 1) - now()
    if (rest > 0) return this.#watch.set(rest)
    if (late && !this.#graced) {
      this.#graced = true
      return this.#watch.set(graceMs)
    }
    this.end(this.#connection ? { cause: 'silent', silent: true } : { cause: 'token', own: true, detail: 'the token callback does not answer' })
  }

  // Reading

  #frame(frame: Frame, size: number, retryAfterMs?: number): void {
    const { hello, push, goaway } = frame ?? {}
    if (hello) this.#hello(hello)
    else if (goaway) this.#goAway(goaway, retryAfterMs)
    else if (frame?.heartbeat !== undefined) {
      this.#device.counters.heartbeats++
      this.#connection?.echo?.()
    } else if (!this.liveAt) this.end({ detail: 'the stream does not begin with hello' }) // C 3.4
    else if (push) this.#push(push, size)
  }

  #hello(hello: ServerHello): void {
    const { polls, blind, twoWay } = this.transport
    if (!polls) this.#next = (hello.seq ?? 0) + 1
    if (!this.liveAt) {
      const silence = hello.timeout_ms || (this.#device.options.heartbeatMs ?? 4000) * 1.75
      this.#allow(polls ? Infinity : this.#patience(Math.min(Math.max(silence, 1750), 105_000), blind))
      this.#joinMs = polls ? 0 : Math.min(hello.ack_ms ?? 0, mostAckMs) * (twoWay ? 1 : 0.75) // C 12.2
    }
    this.#device.keeper.hello(this, hello)
    if (this.#ended) return
    if (!this.#renewal.on) this.#renewIn()
    const cursor = validCursor(hello.cursor)
    if (cursor) this.#device.processor.begin(this, cursor, hello.resumed)
  }

  /** Doubles the silence for each death by it since the last push. SPEC 2.8.4 */
  #patience(ms: number, blind?: boolean): number {
    return blind ? Math.min(ms * 2 ** this.#device.doublings, Math.max(ms, mostPatienceMs)) : ms
  }

  #push(push: Push, size: number): void {
    const { counters, processor } = this.#device
    counters.pushes++
    if (push.redelivered) counters.redelivered++
    if (typeof push.id !== 'string') return this.end({ detail: 'a push has no id' })
    if (this.#next && push.seq !== this.#next++) {
      counters.gaps++
      return this.letGo('gap')
    }
    this.#device.doublings = 0
    if (!this.dead && !processor.put(this, push, size)) this.letGo('overrun')
  }

  /** A wish to be replaced is passed on; any other goaway ends the stream, as does one before hello. */
  #goAway({ reason, reconnect_ms, detail }: GoAway, retryAfterMs?: number): void {
    this.#device.counters.goaways++
    const said: Ended = { reason: knownReason(reason), detail, retryAfterMs }
    if (isMoving(reason)) said.withinMs = Math.min(reconnect_ms || 0, mostReconnectMs)
    if (said.withinMs === undefined || !this.liveAt || this.transport.polls) return this.end(said)
    this.#said = said
    this.#device.keeper.goAway(this, said.withinMs)
  }

  // Acks

  /** Notes a push that the app is done with. */
  processed({ seq, cursor }: Push, size: number): void {
    if (this.dead) return
    this.#seq = seq
    this.#cursor = validCursor(cursor)
    this.#pushes++
    this.#bytes += size
    this.#ackSoon()
  }

  #ackSoon(): void {
    if (this.#acking || this.#ackFailed || !this.#pushes || this.#ended) return
    const due = this.#pushes * 2 >= this.window || this.#bytes * 2 >= this.transport.bytes
    if (due || !this.#joinMs) void this.#ack()
    else if (!this.#ackAlarm.on) this.#ackAlarm.set(this.#joinMs)
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
    this.#ackAlarm.stop()
    try {
      // Within a poll's answer there is no cursor: its last push has it.
      const sent = this.#cursor || this.transport.twoWay ? this.#connection!.ack(this.#seq, this.#cursor, last) : null
      if (sent !== null) this.#device.counters.acks++
      await sent
      this.#pushes -= pushes
      this.#bytes -= bytes
      this.#ackPause.reset()
    } catch (error) {
      const { reason, detail, retryAfterMs = 0 } = error as End
      // The place is lost, or the token is refused: a new stream begins without it. C 12.2, C 9.3
      if (reason === 'invalid_argument' || isRefusal(reason)) return this.end({ reason, detail })
      if (this.#ended) return
      this.#ackFailed = true
      this.#ackAlarm.set(retryAfterMs + this.#ackPause.next())
    }
  }

  // Tokens

  #renewIn(): void {
    const left = this.#device.leftMs(claims(this.token).exp)
    if (left < Infinity) this.#renewal.set(left - leadMs(left))
  }

  /** Asks for a new token before the old one's end, again until there is one, and hands it on. */
  async #renew(): Promise<void> {
    const left = this.#device.leftMs(claims(this.token).exp)
    if (left <= 0) return // the server ends the stream
    const token = await this.#device.tokens.next().catch(() => '')
    if (this.#ended) return
    if (!token || token === this.token) return this.#renewal.set(leadMs(left) / 4)
    this.token = token
    if (this.#connection!.refresh) {
      this.#connection!.refresh(token)
      this.#renewIn()
    } else this.#device.keeper.replace(this)
  }
}
