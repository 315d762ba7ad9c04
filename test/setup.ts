/**
 * Tests talk to servers on this machine, so a proxy from the environment must not be used. Tests of proxies set their own.
 */
for (const name of ['http_proxy', 'https_proxy', 'no_proxy']) {
  delete process.env[name]
  delete process.env[name.toUpperCase()]
}
