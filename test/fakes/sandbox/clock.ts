/** The sandbox's clock: everything that it dates, expires or advances uses it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
}

/** Real time, running `speed` times as fast since `start` (milliseconds since the epoch). */
export function realClock(speed = 1, start = Date.now()): Clock {
  const origin = start - performance.timeOrigin
  return { now: () => start + (performance.now() - origin) * speed }
}

/** A clock that stands still until it is advanced by some milliseconds. */
export function manualClock(start = Date.UTC(2026, 0, 1)): Clock & { advance(milliseconds: number): void } {
  let time = start
  return {
    now: () => time,
    advance: (milliseconds) => {
      time += milliseconds
    },
  }
}
