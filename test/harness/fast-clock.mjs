// Loaded before the action (`--import`). Makes its clock and waits run CLOCK_SPEED times as fast as real time, from the
// same start as the sandbox's clock. Network timeouts stay real.
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers/promises'

const speed = Number(process.env.CLOCK_SPEED)
const start = Number(process.env.CLOCK_START)
const { setTimeout } = timers
const now = () => start + (Date.now() - start) * speed

timers.setTimeout = (milliseconds, ...rest) => setTimeout(milliseconds / speed, ...rest)
syncBuiltinESMExports()
performance.now = () => now() - performance.timeOrigin
