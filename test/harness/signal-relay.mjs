/**
 * Loaded into a step whose process a test cannot signal. The name of the signal arrives as a message instead and reaches
 * the action as if the system had sent it. On Windows the runner sends a console event, which Node passes on as SIGINT.
 */
import { constants } from 'node:os'

process.on('message', (signal) => {
  // Without a listener, the signal ends the process. Windows has no such exit, so the exit code reports it, as in
  // shells.
  if (!process.emit(signal)) process.exit(128 + constants.signals[signal])
})
process.channel?.unref()
