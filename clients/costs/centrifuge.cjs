// A client of centrifuge-js in Node, for measure.py: a line when it is online, and one a message.
const [, , modules, url] = process.argv
const { createRequire } = require('node:module')
const there = createRequire(modules + '/')
const { Centrifuge } = there('centrifuge')
const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n')
const centrifuge = new Centrifuge(url, { websocket: there('ws') })
const subscription = centrifuge.newSubscription('c')
subscription.on('publication', ({ data }) => tell({ event: 'message', id: data.n }))
subscription.on('subscribed', () => tell({ state: 'online' }))
subscription.subscribe()
centrifuge.connect()
