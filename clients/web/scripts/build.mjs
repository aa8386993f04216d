// Builds dist: ES modules and CommonJS, a file for a file, their types (not with --no-types), and one minified module for plain pages.
import { build } from 'esbuild'
import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
process.chdir(root)
const entryPoints = readdirSync('src', { recursive: true }).filter((f) => f.endsWith('.ts') || f.endsWith('.tsx')).map((f) => join('src', f))
const common = { entryPoints, outbase: 'src', target: 'es2022', sourcemap: true, logLevel: 'warning' }

rmSync('dist', { recursive: true, force: true })
if (!process.argv.includes('--no-types')) {
  execFileSync('node_modules/.bin/tsc', ['-p', '.', '--emitDeclarationOnly'], { stdio: 'inherit' })
  cpSync('dist/esm', 'dist/cjs', { recursive: true })
}
// Members whose names begin with _ are the package's own: they get short names, the same ones in all that is built.
const mangle = { mangleProps: /^_[a-z]/, mangleCache: {} }
for (const options of [
  { ...common, format: 'esm', outdir: 'dist/esm' },
  { ...common, format: 'cjs', outdir: 'dist/cjs' },
  { entryPoints: ['src/index.ts'], bundle: true, minify: true, format: 'esm', target: 'es2022', outfile: 'dist/ramen.min.js' },
]) {
  mangle.mangleCache = (await build({ ...options, ...mangle })).mangleCache
}
writeFileSync('dist/cjs/package.json', '{"type":"commonjs"}\n')
