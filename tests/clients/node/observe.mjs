// What every program here shares: its orders, and how it reports.
import { createInterface } from 'node:readline'

export const orders = JSON.parse(process.argv[2])
export const say = what => process.stdout.write(JSON.stringify(what) + '\n')
export const lines = () => createInterface({ input: process.stdin })

// The test ends a program by closing its input.
process.stdin.on('end', () => process.exit(0))
