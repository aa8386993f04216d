import type { Options } from './types.js'

const least: { [setting: string]: number } = { window: 1, heartbeatMs: 1000, connectTimeoutMs: 1, fallbackAfter: 1, preferAfterMs: 0 }

/** Refuses a wrong setting by an error that names it, what was given and what would be right. C 13.3 */
export function check(options: Options): void {
  const given = options as unknown as { [setting: string]: any }

  function must(setting: string, right: unknown, wanted: string): void {
    const value = given[setting]
    // A token that is given as a text is not to stand in an error. C 9.4
    if (!right) throw TypeError(`ramen: ${setting} is ${setting === 'token' ? typeof value : JSON.stringify(value)}; it must be ${wanted}`)
  }

  const { url, user, device = '', token, transports, store } = given
  const named = (value: string): boolean => /^[^\s\p{C}]{1,128}$/u.test(value)
  must('url', /^https?:\/\/[^\s/?#]+[^\s?#]*$/.test(url), 'http:// or https://, a host, and no query')
  must('user', user === undefined || named(user), '1 to 128 printable characters')
  must('device', named(device) || (!device && token), '1 to 128 printable characters')
  must('token', !token || token.call, 'a function')
  must('transports', transports?.[0]?.open, 'a list, such as [webSocket(), sse()]')
  must('store', !store || (store.load && store.save), 'an object with load and save')
  for (const setting in least) {
    const value = given[setting] ?? 1000
    must(setting, Number.isInteger(value) && value >= least[setting]! && value <= (setting === 'heartbeatMs' ? 60_000 : 2 ** 31), `an integer from ${least[setting]}`)
  }
}
