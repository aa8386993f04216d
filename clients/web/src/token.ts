import type { Options } from './types.js'

/** Asks the app for tokens, and never answers with one that was refused. C 9 */
export class Tokens {
  readonly #ask: Options['token']
  #refused = ''

  constructor(ask: Options['token']) {
    this.#ask = ask
  }

  /** Throws where the app has none to go on with. */
  async _next(): Promise<string> {
    const token = (await this.#ask?.()) ?? ''
    if (this.#ask && (!token || token === this.#refused)) throw Error(token ? 'token refused' : 'no token')
    return token
  }

  /** Remembers a token that the server does not take; says whether another can be asked for. */
  _refuse(token: string): boolean {
    if (token) this.#refused = token
    return !!this.#ask
  }
}

/** What a JWT says of itself. It is read, not verified: that is the server's part. */
export function claims(token: string): { exp?: number; sub?: string } {
  try {
    return JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')))
  } catch {
    return {}
  }
}

/** How long before its end to renew a token that has `leftMs` left: a tenth, 1 s to 60 s. C 9.2 */
export const leadMs = (leftMs: number): number => Math.min(Math.max(leftMs / 10, 1000), 60_000)
