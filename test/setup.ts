/**
 * Tests speak to servers of this machine: a proxy of the environment would stand between. Those about proxies
 * set their own.
 */
for (const name of ['http_proxy', 'https_proxy', 'no_proxy']) {
  delete process.env[name]
  delete process.env[name.toUpperCase()]
}
