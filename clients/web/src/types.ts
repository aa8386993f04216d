import type { Transport } from './wire.js'

/** What the client is doing. `stopped`: not started, closed, or ended for good. */
export type State = 'stopped' | 'connecting' | 'online' | 'waiting' | 'offline'

/** A message, as its publisher sent it. */
export interface Message {
  readonly id: string
  readonly type: string
  readonly priority: 'high' | 'medium' | 'low'
  /** The JSON value; a Uint8Array where the content type is another; undefined where the payload is empty. */
  readonly payload: unknown
  readonly contentType: string
  /** ms since 1970 (UTC), by the server's clock. */
  readonly createdMs: number
  /** ms since 1970 (UTC), by the server's clock. */
  readonly expiresMs: number
  readonly collapseKey?: string
  readonly headers?: Readonly<Record<string, string>>
  /** A hint: this device was pushed the message before. */
  readonly redelivered: boolean
  readonly seq: number
}

/** Why a stream ended or a state was entered. */
export interface Cause {
  /**
   * A reason of the server's (SPEC 5.3), or the client's own word: `cut`, `silent`, `gap`, `overrun`, `handler`, `token`,
   * `network`, `page`, `closed`, `refused` (an answer that is not the server's).
   */
  readonly cause?: string
  /** The server's words, or what the platform said. Never with a token in it. */
  readonly detail?: string
}

export interface StateChange extends Cause {
  readonly state: State
  readonly transport: string
  /** Of `waiting`: ms until the next opening. */
  readonly delayMs?: number
}

export interface Hello {
  /** The stream goes on where this device stood. */
  readonly resumed: boolean
  /** How many messages expired unseen since the last hello. */
  readonly expired: number
  /** The server's name of the stream. */
  readonly stream: string
  readonly transport: string
  /** The server's clock, ms since 1970 (UTC); 0 where it was not told (long-poll). */
  readonly timeMs: number
}

/** What the client tells the app. */
export interface Events {
  state: StateChange
  /** Processed once the listener, or its promise, is done without an error. */
  message: Message
  hello: Hello
  /** Messages may have gone unseen: load the app's state anew. */
  reload: Hello
  /** The server refused the token: the callback will be asked for another. */
  token: Cause
  error: { readonly of: 'handler' | 'store' | 'listener'; readonly error: unknown }
  /** Once, at the end: `closed` by the app, or a reason of the server's. */
  closed: Closed
}

export interface Closed {
  readonly reason: string
  readonly detail?: string
}

/** What the client has counted since its start. */
export type Counters = Record<
  | 'attempts' | 'streams' | 'resumed' | 'expired' | 'pushes' | 'redelivered' | 'duplicates' | 'handled' | 'handlerErrors'
  | 'acks' | 'heartbeats' | 'goaways' | 'silences' | 'gaps' | 'fallbacks',
  number
>

/** Keeps a cursor between two lives of the client. One store may serve several clients: keys differ by server, user and device. */
export interface CursorStore {
  /** Answers what was saved last, or nothing. */
  load(key: string): Promise<string | null | undefined> | string | null | undefined
  save(key: string, cursor: string): Promise<unknown> | unknown
}

/** What a device says of itself. SPEC 4.2.9 */
export interface Context {
  app?: string
  app_version?: string
  os?: string
  os_version?: string
  model?: string
  locale?: string
  labels?: Record<string, string>
}

/** What a platform tells the client. Every call is a hint, and may come twice. */
export interface PlatformEvents {
  /** There is a network, or none; `changed`: it may be another than before. */
  network(online: boolean, changed?: boolean): void
  /** The app is frozen: no timer of it runs. */
  frozen(yes: boolean): void
  /** The page goes away, perhaps to come back (`false`). */
  away(yes: boolean): void
  /** The app can be seen again: timers may be overdue. */
  woke(): void
}

export interface Options {
  /** Where the devices' port is: `https://push.example.com`. */
  url: string
  /** While the server has no authentication; with it the token says who the user is. */
  user?: string
  /** This installation's own id. May be left out only where the token names it. */
  device?: string
  /** Asked for a token before each opening, and before the last one expires. */
  token?: () => Promise<string> | string
  /** In the order of preference. */
  transports?: Transport[]
  store?: CursorStore
  context?: Context
  /** Fewer unacked pushes than the server's own bound. */
  window?: number
  /** Interval of heartbeats, 1000 to 60000 ms. Default: the server's, 4000. */
  heartbeatMs?: number
  /** From the start of an opening to its hello, in ms. Default 10000. */
  connectTimeoutMs?: number
  /** Failures in a row until the next transport's turn. Default 2. */
  fallbackAfter?: number
  /** After how long the first transport is tried again, in ms; 0: never. Default 300000. */
  preferAfterMs?: number
  /** `include` sends the server's cookies. Default `omit`. */
  credentials?: RequestCredentials
  /** In place of the platform's fetch. */
  fetch?: typeof fetch
  /** Closes the client when it aborts. */
  signal?: AbortSignal
  /** Listens to the platform until the function that it answers is called. Default: that of browsers. */
  platform?: (events: PlatformEvents) => () => void
}

/** A client: one device of one user. */
export interface Ramen extends AsyncIterable<Message> {
  readonly state: State
  readonly counters: Readonly<Counters>
  /** Listens; answers a function that stops it. Messages wait until somebody listens, or loops over the client. */
  on<K extends keyof Events>(name: K, listener: (event: Events[K], signal?: AbortSignal) => unknown): () => void
  /** Ends a pause. */
  reconnect(): void
  /** Acks what is processed, for at most 2 s, and ends the stream. */
  close(): Promise<void>
}
