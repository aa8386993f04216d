// Measures what an app bundles, minified and gzipped, by what it imports.
import { build } from 'esbuild'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'

const esm = join(dirname(fileURLToPath(import.meta.url)), '../dist/esm')

/** Bytes of a bundle of these lines, gzipped. `/` stands for the folder of the modules. */
export async function sizeOf(code) {
  const { outputFiles } = await build({
    stdin: { contents: code.replaceAll("'/", `'${esm}/`), resolveDir: esm },
    bundle: true, minify: true, format: 'esm', target: 'es2022', write: false, external: ['react'],
  })
  return gzipSync(outputFiles[0].contents, { level: 9 }).length
}

export const bundles = {
  'WebSocket alone': "import {connect, webSocket} from '/core.js'; globalThis.x = () => connect({url: '', transports: [webSocket()]})",
  'SSE alone': "import {connect, sse} from '/core.js'; globalThis.x = () => connect({url: '', transports: [sse()]})",
  'EventSource alone': "import {connect, eventSource} from '/core.js'; globalThis.x = () => connect({url: '', transports: [eventSource()]})",
  'long-poll alone': "import {connect, longPoll} from '/core.js'; globalThis.x = () => connect({url: '', transports: [longPoll()]})",
  'the default: WebSocket, SSE, long-poll': "import {connect} from '/index.js'; globalThis.x = connect",
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const [name, code] of Object.entries(bundles)) console.log(String(await sizeOf(code)).padStart(6), name)
}
