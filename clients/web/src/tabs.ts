// One stream for all tabs of an origin (C 10.5): one of them, or a SharedWorker, holds it and passes on what comes.
import { Client } from './client.js'
import { Listeners } from './listeners.js'
import { browser } from './platform.js'
import { longPoll } from './transports/poll.js'
import { sse } from './transports/sse.js'
import { webSocket } from './transports/websocket.js'
import type { Closed, Counters, Events, Message, Options, PlatformEvents, Ramen, State, StateChange } from './types.js'

export type * from './types.js'

export interface TabsOptions extends Options {
  /**
   * Who handles a message: `one`, the tab that holds the stream; or `all` tabs, and it counts as processed when each of them
   * has. Default `one`.
   */
  handle?: 'one' | 'all'
}

/** What tabs say to each other. */
type Note =
  | { event: keyof Events; data: never }
  | { counters: Counters } // of the holder, with each state
  | { processed: string; cursor: string } // by the holder
  | { message: Message; turn: number } // to be handled by all
  | { handled: number; tab: string; failed?: boolean }
  | { who: 1 } // asked by a new holder
  | { here: string } // a tab that listens
  | { bye: string }
  | { reconnect: 1 }

interface Channel {
  postMessage(note: Note): void
  close(): void
}

const remembered = 2048
const stopped: StateChange = { state: 'stopped', transport: '' }
const defaults = { transports: [webSocket(), sse(), longPoll()] }

/** Waits until the lock can be had, and holds it until the promise that `hold` answers is done. */
const lock = (name: string, hold: () => unknown, signal?: AbortSignal): void => {
  navigator.locks.request(name, { signal }, async () => hold()).catch(() => {}) // aborted
}

/** What a holder and those that listen to it have in common. */
class Tab implements Ramen {
  protected readonly id = crypto.randomUUID()
  protected readonly listeners: Listeners = new Listeners(() => this.consumerChanged())
  protected channel: Channel | undefined
  protected told: StateChange = stopped
  protected closed: Closed | undefined
  /** Ids that were processed, here or by the holder. */
  protected readonly seen = new Set<string>()
  #counters = {} as Counters
  #abort = new AbortController()

  get state(): State {
    return this.told.state
  }

  get counters(): Readonly<Counters> {
    return this.#counters
  }

  on<K extends keyof Events>(name: K, listener: (event: Events[K], signal?: AbortSignal) => unknown): () => void {
    return this.listeners._on(name, listener)
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    return this.listeners[Symbol.asyncIterator]()
  }

  reconnect(): void {
    this.channel?.postMessage({ reconnect: 1 })
  }

  async close(): Promise<void> {
    this.leave()
    this.end({ reason: 'closed' })
  }

  /** Takes part: says so, and holds a lock whose end tells that this tab is gone, crashed or not. */
  protected join(channel: Channel): void {
    this.channel = channel
    this.#abort = new AbortController()
    const { signal } = this.#abort
    lock(`ramen tab ${this.id}`, () => {
      channel.postMessage({ here: this.id })
      return new Promise((done) => signal.addEventListener('abort', done))
    }, signal)
  }

  protected leave(): void {
    this.#abort.abort()
    this.channel?.postMessage({ bye: this.id })
    this.channel?.close()
    this.channel = undefined
  }

  protected consumerChanged(): void {}

  /** Hears what the holder says. */
  protected hear(note: Note): void {
    if ('event' in note) this.tell(note.event, note.data)
    else if ('counters' in note) this.#counters = note.counters
    else if ('processed' in note) this.remember(note.processed)
    else if ('who' in note) this.channel?.postMessage({ here: this.id })
    else if ('message' in note) void this.#handle(note.message, note.turn)
  }

  protected tell<K extends keyof Events>(name: K, event: Events[K]): void {
    if (this.closed) return
    if (name === 'closed') return this.end(event as Closed)
    if (name === 'state') this.told = event as StateChange
    this.listeners._emit(name, event)
  }

  protected remember(id: string): void {
    this.seen.add(id)
    if (this.seen.size > remembered) this.seen.delete(this.seen.values().next().value!)
  }

  protected end(closed: Closed): void {
    if (this.closed) return
    if (this.told.state !== 'stopped') this.tell('state', { ...stopped, cause: closed.reason, detail: closed.detail })
    this.closed = closed
    this.leave()
    this.listeners._end(closed)
  }

  /** Handles a message that is for all tabs, and says how it went. */
  async #handle(message: Message, turn: number): Promise<void> {
    let failed = false
    try {
      if (!this.seen.has(message.id)) failed = (await this.listeners._consumer?.(message, this.#abort.signal)) === false
      if (!failed) this.remember(message.id)
    } catch (error) {
      failed = true
      this.listeners._emit('error', { of: 'handler', error })
    }
    this.channel?.postMessage({ handled: turn, tab: this.id, failed })
  }
}

/** Holds the stream for others, which come over a channel. */
class Holder {
  readonly client: Client
  readonly #post: (note: Note) => void
  readonly #tabs = new Set<string>()
  readonly #waits = new Map<string, (failed?: boolean) => void>() // turn and tab → who waits
  #turn = 0
  #came: (() => void) | undefined
  #told: StateChange = stopped

  constructor(options: TabsOptions, post: (note: Note) => void, tell: <K extends keyof Events>(name: K, event: Events[K]) => void) {
    this.#post = post
    this.client = new Client({ ...defaults, ...options })
    for (const name of ['state', 'hello', 'reload', 'token', 'closed'] as const) {
      this.client.on(name, (event) => {
        if (name === 'state') {
          this.#told = event as StateChange
          post({ counters: { ...this.client.counters } })
        }
        post({ event: name, data: event as never })
        tell(name, event)
      })
    }
    this.client.on('error', (event) => tell('error', event)) // an error may be no message
    post({ who: 1 })
  }

  /** Hears what the other tabs say. */
  hear(note: Note): void {
    if ('here' in note) this.#welcome(note.here)
    else if ('bye' in note) this.#gone(note.bye)
    else if ('handled' in note) this.#settle(note.handled, note.tab, note.failed)
    else if ('reconnect' in note) this.client.reconnect()
  }

  #welcome(tab: string): void {
    this.#post({ event: 'state', data: this.#told as never })
    if (this.#tabs.has(tab)) return
    this.#tabs.add(tab)
    this.#came?.()
    lock(`ramen tab ${tab}`, () => this.#gone(tab))
  }

  #gone(tab: string): void {
    this.#tabs.delete(tab)
    for (const [key, settle] of this.#waits) if (key.endsWith(tab)) settle()
  }

  #settle(turn: number, tab: string, failed?: boolean): void {
    this.#waits.get(`${turn} ${tab}`)?.(failed)
  }

  /** Resolves once a tab is there. */
  async someTab(): Promise<void> {
    while (!this.#tabs.size) await new Promise<void>((done) => (this.#came = done))
  }

  /** Has all other tabs handle a message. Throws where one of them failed; one that is gone does not count. */
  async toAll(message: Message): Promise<void> {
    const turn = ++this.#turn
    const all = [...this.#tabs].map((tab) => new Promise<boolean | undefined>((done) => {
      const key = `${turn} ${tab}`
      this.#waits.set(key, (failed) => {
        this.#waits.delete(key)
        done(failed)
      })
    }))
    this.#post({ message, turn })
    if ((await Promise.all(all)).some(Boolean)) throw Error('a tab did not process the message')
  }
}

/** A tab among others: it listens, and holds the stream when its turn comes. */
class SharedTab extends Tab {
  readonly #options: TabsOptions
  readonly #name: string
  readonly #unlisten: () => void
  #holder: Holder | undefined
  #release: (() => void) | undefined
  #waiting = new AbortController() // for the stream's lock
  #cursor = ''
  #unhandle: (() => void) | undefined
  #network: PlatformEvents | undefined

  constructor(options: TabsOptions) {
    super()
    this.#options = options
    this.#name = ['ramen', options.url, options.user ?? '', options.device ?? ''].join(' ')
    // A frozen tab, or one in the back-forward cache, leaves, so that another takes over.
    const gone = (yes: boolean): void => (yes ? this.leave() : this.#come())
    const events = { network: (...a: [boolean, boolean?]) => this.#network?.network(...a), frozen: gone, away: gone, woke: () => this.#network?.woke() }
    this.#unlisten = (options.platform ?? browser)(events)
    options.signal?.addEventListener('abort', () => void this.close())
    this.#come()
  }

  override get counters(): Readonly<Counters> {
    return this.#holder?.client.counters ?? super.counters
  }

  override reconnect(): void {
    if (this.#holder) this.#holder.client.reconnect()
    else super.reconnect()
  }

  override async close(): Promise<void> {
    const closing = this.#holder?.client.close()
    await closing
    await super.close()
  }

  #come(): void {
    if (this.channel || this.closed) return
    const channel = new BroadcastChannel(this.#name)
    channel.onmessage = ({ data }) => this.hear(data)
    this.join(channel)
    this.#waiting = new AbortController()
    lock(this.#name, () => this.#hold(), this.#waiting.signal)
  }

  /** Holds the stream until this tab leaves. */
  #hold(): Promise<void> | undefined {
    const { channel } = this
    if (!channel || this.closed) return
    return new Promise((release) => {
      this.#release = release
      const platform = (events: PlatformEvents) => {
        this.#network = events
        if (navigator.onLine === false) events.network(false)
        return () => (this.#network = undefined)
      }
      const options = { ...this.#options, signal: undefined, platform }
      const holder = (this.#holder = new Holder(options, (note) => channel.postMessage(note), (name, event) => this.tell(name, event)))
      const { device } = holder.client
      device._place._cursor = this.#cursor
      for (const id of this.seen) device._processor._remember(id)
      device._processed = (id, cursor) => {
        this.#processed(id, cursor)
        channel.postMessage({ processed: id, cursor })
      }
      this.consumerChanged()
    })
  }

  #processed(id: string, cursor: string): void {
    this.remember(id)
    if (cursor) this.#cursor = cursor
  }

  /** The holder takes messages while somebody in this tab does. */
  protected override consumerChanged(): void {
    const client = this.#holder?.client
    this.#unhandle?.()
    this.#unhandle = undefined
    if (!client || !this.listeners._consumer) return
    this.#unhandle = client.on('message', async (message, signal) => {
      const own = this.listeners._consumer?.(message, signal!)
      if (this.#options.handle === 'all') await this.#holder!.toAll(message)
      if ((await own) === false) throw Error('the loop was left')
    })
  }

  protected override hear(note: Note): void {
    if (this.#holder) return this.#holder.hear(note)
    if ('processed' in note) this.#processed(note.processed, note.cursor)
    else super.hear(note)
  }

  protected override leave(): void {
    this.#waiting.abort()
    const holder = this.#holder
    this.#holder = undefined
    holder?.client.device.keeper.away(true) // acks, with a request that outlives the page
    holder?.client.device.keeper.stop()
    holder?.client.device._processor._stop()
    super.leave()
    this.#release?.()
  }

  protected override end(closed: Closed): void {
    if (!this.closed) this.#unlisten()
    super.end(closed)
  }
}

/** Connects all tabs of an origin that have the same url, user and device over one stream. Needs a secure context. */
export function connectTabs(options: TabsOptions): Ramen {
  if (!globalThis.navigator?.locks) throw TypeError('ramen: connectTabs needs Web Locks: a page of https:// or localhost')
  return new SharedTab(options)
}

// In a SharedWorker

/** A page whose stream a worker holds. */
class WorkerTab extends Tab {
  readonly #unlisten: () => void

  constructor(worker: SharedWorker) {
    super()
    const { port } = worker
    port.onmessage = ({ data }) => this.hear(data)
    const come = (): void => this.join({ postMessage: (note) => port.postMessage(note), close() {} })
    const gone = (yes: boolean): void => {
      if (yes) this.leave()
      else if (!this.channel && !this.closed) come()
    }
    this.#unlisten = browser({ network() {}, frozen: gone, away: gone, woke() {} })
    come()
  }

  protected override end(closed: Closed): void {
    this.#unlisten()
    super.end(closed)
  }
}

/** Listens to the stream that a SharedWorker holds by `serveTabs`. Closing leaves it to the other pages. */
export const connectWorker = (worker: SharedWorker): Ramen => new WorkerTab(worker)

/**
 * Holds the stream in a SharedWorker, for the pages that connect to it. All pages handle a message; while there is none, messages
 * wait. With `handle: 'one'` it is the worker's own listeners that do.
 */
export function serveTabs(options: TabsOptions): Ramen {
  const ports = new Map<MessagePort, string>()
  const post = (note: Note): void => {
    for (const port of ports.keys()) port.postMessage(note)
  }
  const holder = new Holder(options, post, () => {})
  const accept = (port: MessagePort): void => {
    ports.set(port, '')
    port.onmessage = ({ data }: { data: Note }) => {
      if ('here' in data) lock(`ramen tab ${data.here}`, () => ports.delete(port))
      holder.hear(data)
    }
  }
  ;(globalThis as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = ({ ports: [port] }) => accept(port!)
  if (options.handle !== 'one') {
    holder.client.on('message', async (message) => {
      await holder.someTab()
      await holder.toAll(message)
    })
  }
  return holder.client
}
