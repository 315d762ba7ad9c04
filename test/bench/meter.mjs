/**
 * Loaded before a program by `node --import`: when the program ends, writes what it has cost to the file that
 * BENCH_METER names. Plain JavaScript, because stripping types would add to the very figures.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const REQUEST_ON_THE_WIRE = 'undici:client:sendHeaders'
const STATUS = '/proc/self/status'
let firstRequest = null

subscribe(REQUEST_ON_THE_WIRE, function note() {
  firstRequest = process.cpuUsage()
  unsubscribe(REQUEST_ON_THE_WIRE, note)
})
process.on('exit', () => {
  const end = process.cpuUsage()
  const status = existsSync(STATUS) ? readFileSync(STATUS, 'utf8') : ''
  writeFileSync(process.env.BENCH_METER, JSON.stringify({ firstRequest, end, status }))
})
