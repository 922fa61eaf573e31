// Listens to a topic over gRPC and goes on where it was cut off. Needs: npm install @grpc/grpc-js @grpc/proto-loader
import grpc from '@grpc/grpc-js'
import loader from '@grpc/proto-loader'

const { FANFARE_GRPC, FANFARE_TOKEN, FANFARE_PROTOS, TOPIC } = process.env // FANFARE_PROTOS: the folder crates/proto/proto
const { fanfare } = grpc.loadPackageDefinition(
  loader.loadSync('fanfare/v1/events.proto', { includeDirs: [FANFARE_PROTOS], keepCase: true, longs: Number, oneofs: true })
)
const client = new fanfare.v1.Events(FANFARE_GRPC, grpc.credentials.createInsecure())
const metadata = new grpc.Metadata()
metadata.set('authorization', `Bearer ${FANFARE_TOKEN}`)

let position = 'start'
const open = () => {
  const stream = client.Subscribe({ topics: [{ topic: TOPIC }], from: { text: position } }, metadata)
  stream.on('data', frame => {
    if (frame.what === 'event') {
      position = frame.event.position
      console.log(String(frame.event.text ?? frame.event.json))
    } else if (frame.what === 'gap' || frame.what === 'disconnect') console.log('#', JSON.stringify(frame))
  })
  stream.on('error', error => console.log('#', error.message))
  stream.on('close', () => setTimeout(open, 1000))
}
open()
