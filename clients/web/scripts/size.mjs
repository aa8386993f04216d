// Measures what an app bundles, minified and gzipped, by what it imports.
import { build } from 'esbuild'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'

const esm = join(dirname(fileURLToPath(import.meta.url)), '../dist/esm')

const alone = (transport) => `import {connect, ${transport}} from '/core.js'; globalThis.x = () => connect({url: '', transports: [${transport}()]})`

/** Bytes of a bundle of these lines, gzipped. `/` stands for the folder of the modules. */
export async function sizeOf(code) {
  const { outputFiles } = await build({
    stdin: { contents: code.replaceAll("'/", `'${esm}/`), resolveDir: esm },
    bundle: true, minify: true, format: 'esm', target: 'es2022', write: false, external: ['react'],
  })
  return gzipSync(outputFiles[0].contents, { level: 9 }).length
}

// What apps import, and the most that it may be.
export const bundles = {
  'WebSocket alone': { code: alone('webSocket'), most: 6950 },
  'SSE alone': { code: alone('sse'), most: 7620 },
  'EventSource alone': { code: alone('eventSource'), most: 7420 },
  'long-poll alone': { code: alone('longPoll'), most: 7400 },
  'the default: WebSocket, SSE, long-poll': { code: "import {connect} from '/index.js'; globalThis.x = connect", most: 8500 },
  'the default and tabs': { code: "import {connect} from '/index.js'; import {connectTabs} from '/tabs.js'; globalThis.x = [connect, connectTabs]", most: 9990 },
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const [name, { code }] of Object.entries(bundles)) console.log(`| ${name} | ${((await sizeOf(code)) / 1024).toFixed(1)} KiB |`)
}
