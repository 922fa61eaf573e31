// npm `@grpc/grpc-js` with `@grpc/proto-loader`. Every line of standard input is a request of a session.
import { readFileSync } from 'node:fs'
import grpc from '@grpc/grpc-js'
import loader from '@grpc/proto-loader'
import { lines, orders, say } from './observe.mjs'

// `bytes` are shown in base64, as the JSON form of protobuf has them.
const definition = loader.loadSync(['fanfare/v1/session.proto', 'fanfare/v1/events.proto'], {
  includeDirs: [orders.protos], keepCase: true, longs: Number, enums: String, bytes: String, oneofs: true
})
const { fanfare } = grpc.loadPackageDefinition(definition)
const credentials = orders.ca
  ? grpc.credentials.createSsl(readFileSync(orders.ca))
  : grpc.credentials.createInsecure()
const metadata = new grpc.Metadata()
if (orders.token) metadata.set('authorization', `Bearer ${orders.token}`)

const report = stream => {
  stream.on('data', frame => say({ frame: JSON.stringify(frame) }))
  stream.on('error', error => say({ error: `${error.code} ${error.details}` }))
  stream.on('end', () => say('end'))
}
if (orders.call === 'session') {
  const stream = new fanfare.v1.Session(orders.address, credentials).Open(metadata)
  report(stream)
  say('open')
  lines().on('line', line => stream.write(JSON.parse(line, (key, value) =>
    key === 'json' || key === 'data' || key === 'patch' ? Buffer.from(value) : value)))
} else if (orders.call === 'subscribe') {
  report(new fanfare.v1.Events(orders.address, credentials).Subscribe(orders.request, metadata))
  say('open')
} else {
  const client = new fanfare.v1.Events(orders.address, credentials)
  client[orders.call](orders.request, metadata, (error, answer) =>
    say(error ? { error: `${error.code} ${error.details}` } : { frame: JSON.stringify(answer) }))
}
