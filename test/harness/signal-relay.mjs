/**
 * Loaded into a step whose process a test cannot signal: the name of the signal comes as a message instead, and reaches the
 * action as if the system had sent it. On Windows the runner sends a console event, which Node passes on as SIGINT.
 */
import { constants } from 'node:os'

process.on('message', (signal) => {
  // Nobody hears it yet, so it ends the process. Windows knows no such end: the exit code says it, as shells do.
  if (!process.emit(signal)) process.exit(128 + constants.signals[signal])
})
process.channel?.unref()
