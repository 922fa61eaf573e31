// npm `ws`. Every line of standard input is sent as one frame.
import WebSocket from 'ws'
import { lines, orders, say } from './observe.mjs'

const socket = new WebSocket(orders.url, orders.subprotocol ?? [])
socket.on('open', () => {
  say('open')
  // As if it had been said by the server.
  if (orders.extensions) say({ frame: JSON.stringify({ extensions: socket.extensions }) })
})
socket.on('message', (data, isBinary) => say(isBinary ? { error: 'a binary message' } : { frame: data.toString() }))
socket.on('close', (code, reason) => say({ closed: { code, reason: reason.toString() } }))
socket.on('error', error => say({ error: String(error) }))
lines().on('line', line => socket.send(line))
