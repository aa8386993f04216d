import type { Options } from './types.js'

const name = (value: unknown): boolean => typeof value === 'string' && /^[^\s\p{C}]{1,128}$/u.test(value)
const number = (least: number, most = 2 ** 31) => (value: unknown): boolean => Number.isInteger(value) && (value as number) >= least && (value as number) <= most

// setting: [is it right, what would be right]
const rules: Record<string, [(value: any) => boolean, string]> = {
  url: [(v) => /^https?:\/\/[^\s/?#]+[^\s?#]*$/.test(v), 'http:// or https://, a host, and no query'],
  user: [name, '1 to 128 printable characters'],
  device: [name, '1 to 128 printable characters'],
  token: [(v) => typeof v === 'function', 'a function that answers with a token'],
  transports: [(v) => v.length && v.every((t: any) => t?.open), 'a list of transports, such as [webSocket(), sse()]'],
  store: [(v) => v.load && v.save, 'an object with load and save'],
  window: [number(1), 'an integer from 1'],
  heartbeatMs: [number(1000, 60_000), 'an integer from 1000 to 60000'],
  connectTimeoutMs: [number(1), 'an integer from 1'],
  fallbackAfter: [number(1), 'an integer from 1'],
  preferAfterMs: [number(0), 'an integer from 0'],
}

/** Refuses a wrong setting by an error that names it, what was given and what would be right. C 13.3 */
export function check(options: Options): void {
  const given = options as unknown as Record<string, unknown>
  for (const [setting, [right, wanted]] of Object.entries(rules)) {
    const value = given[setting]
    const needed = setting === 'url' || setting === 'transports' || (setting === 'device' && !given.token)
    let ok = value === undefined ? !needed : false
    try {
      ok ||= right(value)
    } catch {}
    if (!ok) throw TypeError(`ramen: ${setting} is ${setting === 'token' ? typeof value : JSON.stringify(value)}; it must be ${wanted}`)
  }
}
