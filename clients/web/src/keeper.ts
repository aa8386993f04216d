import { Choice } from './choice.js'
import type { Device } from './device.js'
import { isMoving, isRefusal, Stream, type Ended } from './stream.js'
import { Alarm, Backoff, now, stableMs, within } from './time.js'
import type { PlatformEvents, State, StateChange } from './types.js'
import type { ServerHello, Transport } from './wire.js'

const mostLeaving = 2 // streams that the server was slow to end. C 1.1
const unclearMs = 30_000 // an opening that was never answered may still reach the server. C 6.3
const networkMs = 1000 // C 10.2

/** Why nothing is opened now. */
type Block = 'network' | 'frozen' | 'page'

/** Keeps the device connected: it owns the streams, and decides when to open the next. C 2, 6, 7 */
export class Keeper implements PlatformEvents {
  readonly #device: Device
  readonly #choice: Choice
  readonly #backoff = new Backoff()
  readonly #reopen = new Alarm(() => this.#open(this.#choice.current, false))
  readonly #trial = new Alarm(() => {
    if (!this.#opening && !this.#reopen._on && this.#live && !this.#blocks.size) this.#open(this.#choice.preferred, true)
  })
  readonly #blocks = new Set<Block>()
  #opening: Stream | undefined
  #live: Stream | undefined
  #leaving: Stream[] = []
  #wanted = false // an opening waits for the last block to go
  #unclear = 0
  #stopped = false
  #told: StateChange = { state: 'stopped', transport: '' }

  constructor(device: Device) {
    const { transports, fallbackAfter, preferAfterMs } = device._options
    this.#device = device
    this.#choice = new Choice(transports!, fallbackAfter, preferAfterMs)
  }

  get _state(): State {
    return this.#told.state
  }

  _start(): void {
    if (this.#stopped) return
    if (this.#blocks.size) this.#schedule(0, { _cause: 'network' })
    else this.#open(this.#choice.current, false)
  }

  /** Ends all streams, and what they wait for. The last ack is the caller's. */
  stop(): void {
    this.#stopped = true
    this.#reopen._stop()
    this.#trial._stop()
    for (const stream of [this.#opening, this.#live, ...this.#leaving]) stream?._drop()
    this.#opening = this.#live = undefined
  }

  /** Begins no opening any more, and answers once what is processed is acked. */
  async _flush(): Promise<void> {
    this.#stopped = true
    this.#reopen._stop()
    this.#opening?._drop()
    this.#opening = undefined
    await this.#live?._flush()
  }

  _enter(state: State, ended: Ended = {}, delayMs?: number): void {
    const cause = ended.reason ?? ended._cause
    if (state === this.#told.state && cause === this.#told.cause) return
    this.#told = { state, transport: (this.#live ?? this.#opening)?._transport.name ?? this.#choice.current.name, cause, detail: ended.detail, delayMs }
    this.#device._emit('state', this.#told)
  }

  /** C 7.6 */
  _reconnect(): void {
    if (this.#reopen._on) this.#open(this.#choice.current, false)
  }

  // What the platform says. C 10

  network(online: boolean, changed?: boolean): void {
    this.#block('network', !online, networkMs)
    if (!online || !changed) return
    this.#opening?._hurry()
    this.#live?._hurry()
  }

  frozen(yes: boolean): void {
    this.#block('frozen', yes, 0)
    if (!yes) this.woke()
  }

  away(yes: boolean): void {
    if (yes && !this.#stopped) {
      this.#wanted ||= !!(this.#live ?? this.#opening)
      for (const stream of [this.#opening, this.#live, ...this.#leaving]) stream?._quit()
      void this.#device._place._save()
      this.#opening = this.#live = undefined
      this.#leaving = []
      this.#trial._stop()
    }
    this.#block('page', yes, 0)
  }

  woke(): void {
    for (const stream of [this.#opening, this.#live]) stream?._check()
    if (this.#reopen._on && this.#reopen._rest <= 0) this.#reopen._set(0)
  }

  #block(block: Block, on: boolean, ms: number): void {
    if (on) {
      this.#blocks.add(block)
      this.#wanted ||= this.#reopen._on
      this.#reopen._stop()
      if (this.#wanted && this._state !== 'offline') this.#schedule(0, { _cause: block })
    } else {
      const was = this.#blocks.delete(block)
      if (this.#blocks.size) return
      const waits = this.#reopen._on && this.#told.state === 'waiting'
      if ((was && this.#wanted) || waits) this.#schedule(Math.min(within(ms), waits ? this.#reopen._rest : Infinity), { _cause: block })
    }
  }

  // Openings

  /** Opens the next stream in ms, or once there is a network again. */
  #schedule(ms: number, ended: Ended): void {
    if (this.#stopped) return
    this.#wanted = this.#blocks.size > 0
    if (!this.#wanted) this.#reopen._set(ms)
    if (this.#live || this.#opening) return // still what it was
    if (this.#wanted) this._enter('offline', ended)
    else this._enter('waiting', ended, ms)
  }

  #open(transport: Transport, trial: boolean): void {
    this.#reopen._stop()
    if (this.#opening || this.#stopped) return
    if (this.#live?._transport.polls) this.#dropPoll()
    const stream = (this.#opening = new Stream(this.#device, transport, trial))
    this.#device._counters.attempts++
    if (this.#live) this.#live._replaced = true
    else this._enter('connecting')
    void stream._open()
  }

  /** A poll beside its successor would be the newer stream. C 3.8 */
  #dropPoll(): void {
    this.#live!._quit()
    this.#live = undefined
    this.#unclear = now() + unclearMs
  }

  _hello(stream: Stream, hello: ServerHello): void {
    const { _counters: counters, _emit: emit, _place: place } = this.#device
    const had = place._cursor
    if (stream === this.#opening) {
      this.#opening = undefined
      stream._liveAt = now()
      if (this.#live) {
        if (now() - this.#live._liveAt >= stableMs) this.#backoff.reset()
        this.#leave(this.#live)
      }
      this.#live = stream
      if (stream._trial) this.#choice.tried(true)
      this.#armTrial()
      counters.streams++
      this._enter('online')
    }
    const { resumed, expired = 0, time_ms = 0 } = hello
    this.#device._serverTime(time_ms)
    if (resumed) counters.resumed++
    counters.expired += expired
    const told = { resumed, expired, stream: hello.stream ?? '', transport: stream._transport.name, timeMs: time_ms }
    emit('hello', told)
    if (expired || (!resumed && had)) emit('reload', told) // C 8.6
  }

  /** Reads on until the server ends it. C 3.7 */
  #leave(stream: Stream): void {
    if (this.#leaving.push(stream) > mostLeaving) this.#leaving.shift()!._drop()
  }

  #armTrial(): void {
    const ms = this.#choice.trialIn
    if (ms === undefined) this.#trial._stop()
    else this.#trial._set(ms)
  }

  /** Sets the moment of the next stream. SPEC 2.12.6, C 7.4 */
  _goAway(stream: Stream, withinMs: number): void {
    if (stream !== this.#live || stream._away) return
    stream._away = true
    if (this.#opening) return // a trial: it will do
    const soon = !withinMs && now() - stream._liveAt < stableMs
    this.#schedule(soon ? this.#backoff.next() : within(withinMs), {})
  }

  /** Opens the next stream beside this one, which has no way to take a new token. C 9.2 */
  _replace(stream: Stream): void {
    if (stream !== this.#live || this.#opening) return
    stream._away = true
    this.#schedule(0, {})
  }

  // Ends

  _ended(stream: Stream, ended: Ended): void {
    const wasOpening = stream === this.#opening
    if (wasOpening) this.#opening = undefined
    else if (stream === this.#live) {
      this.#live = undefined
      this.#trial._stop()
    } else {
      this.#leaving = this.#leaving.filter((other) => other !== stream)
      return // it was replaced: whatever ended it is of no interest. SPEC 2.13.5
    }
    if (this.#stopped) return
    ended._cause ??= ended.reason ? undefined : 'cut'
    if (ended.silent) this.#device._counters.silences++
    if (this.#isFinal(stream, ended, wasOpening)) return this.#device._finish(ended.reason!, ended.detail)
    this.#learn(stream, ended)
    if (wasOpening && this.#live && !this.#live._away) this.#armTrial() // a trial that failed
    else if (this.#opening) {
      if (!this.#live) this._enter('connecting', ended)
    } else if (this.#reopen._on || this.#wanted) {
      if (!this.#live) this.#schedule(Math.max(this.#reopen._rest, 0), ended)
    } else this.#schedule(this.#pause(stream, ended, wasOpening), ended)
  }

  /** Says whether no new stream can be better than this. C 6 */
  #isFinal(stream: Stream, ended: Ended, wasOpening: boolean): boolean {
    const { reason } = ended
    if (reason === 'superseded' && (stream._replaced || now() < this.#unclear)) {
      ended.reason = undefined
      ended._cause = reason
      return false
    }
    if (isRefusal(reason)) {
      if (!this.#device._tokens._refuse(stream._token)) return true
      this.#device._emit('token', { cause: reason, detail: ended.detail })
    }
    // Of a live stream it was a frame, say an ack of a place that is lost: a new stream begins without it.
    return reason === 'superseded' || reason === 'disconnected' || (reason === 'invalid_argument' && wasOpening)
  }

  /** Learns from the end: about the network, the transport, and openings that nobody answered. */
  #learn(stream: Stream, { reason, _own: own, silent }: Ended): void {
    const livedMs = stream._liveAt && now() - stream._liveAt
    const { _transport: transport, _trial: trial, _liveAt: liveAt } = stream
    if (livedMs >= stableMs) this.#backoff.reset()
    if (reason || livedMs >= stableMs) this.#choice.worked()
    if (silent && transport.blind && liveAt) this.#device._doublings++
    if (trial && !liveAt) this.#choice.tried(false)
    if (reason || own) return
    if (!liveAt || transport.polls) {
      this.#unclear = now() + unclearMs
      if (this.#live) this.#live._replaced = false
    }
    if (!trial && !stream._away && livedMs < stableMs && this.#choice.failed()) this.#device._counters.fallbacks++
  }

  /** C 7.1, 7.3, 7.4 */
  #pause(stream: Stream, { reason, _withinMs: withinMs = 0, retryAfterMs = 0 }: Ended, wasOpening: boolean): number {
    const young = !withinMs && now() - stream._liveAt < stableMs
    const moved = isMoving(reason) && !wasOpening && !young
    return within(withinMs) + retryAfterMs + (moved ? 0 : this.#backoff.next())
  }
}
