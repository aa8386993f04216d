// An EventSource without a client around it, for measure.py: it acks nothing, so that the server ends its stream when the window is full.
import { EventSource } from '../web/node_modules/undici/index.js'

const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n')
const source = new EventSource(process.argv[2])
source.addEventListener('hello', () => tell({ state: 'online' }))
source.onmessage = ({ data }) => tell({ event: 'message', id: JSON.parse(data).id })
