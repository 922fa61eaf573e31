// Listens to a topic over WebSocket and goes on where it was cut off. Needs: npm install ws (browsers have their own)
import WebSocket from 'ws'

const { FANFARE_URL, FANFARE_TOKEN, TOPIC } = process.env
let position = 'start'
const open = () => {
  const socket = new WebSocket(FANFARE_URL.replace('http', 'ws') + '/v1/ws')
  socket.onopen = () => {
    socket.send(JSON.stringify({ id: 1, connect: { token: FANFARE_TOKEN, name: 'example' } }))
    socket.send(JSON.stringify({ id: 2, subscribe: { topic: TOPIC, from: position } }))
  }
  socket.onmessage = message => message.data.split('\n').forEach(line => { // a message may hold several frames, a line each
    const frame = JSON.parse(line)
    if (frame.event) {
      position = frame.event.position
      console.log(frame.event.data)
    } else if (frame.error || frame.gap || frame.disconnect) console.log('#', line)
  })
  socket.onerror = event => console.log('#', event.message)
  // 4xxx means: do not come back with what you have.
  socket.onclose = event => event.code < 4000 && setTimeout(open, 1000)
}
open()
