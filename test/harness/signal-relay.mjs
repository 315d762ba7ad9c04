/**
 * Loaded into a step whose process a test cannot signal: the name of the signal comes as a message instead, and reaches the
 * action as if the system had sent it. On Windows the runner sends a console event, which Node passes on as SIGINT.
 */
process.on('message', (signal) => {
  if (!process.emit(signal)) process.kill(process.pid, signal)
})
process.channel?.unref()
