// `TEST_REQUIRE=postgres,mariadb,redis,s3,chromium,nginx` makes the absence of a service a failure
// instead of a skip.

const SERVICES = ['postgres', 'mariadb', 'redis', 's3', 'chromium', 'nginx'] as const
export type Service = (typeof SERVICES)[number]

/** Services that this run must have. Throws on an unknown name: a typo would require nothing. */
export function requiredServices(): readonly Service[] {
  const names = (process.env['TEST_REQUIRE'] ?? '').split(',').filter((name) => name !== '')
  return names.map((name) => {
    const service = SERVICES.find((known) => known === name)
    if (service === undefined)
      throw new Error(`TEST_REQUIRE names '${name}'; it knows ${SERVICES.join(', ')}.`)
    return service
  })
}

/** Returns null, so that the test is skipped; throws where `TEST_REQUIRE` names the service. */
export function absent(service: Service, reason: string): null {
  if (requiredServices().includes(service))
    throw new Error(`TEST_REQUIRE names ${service}, and ${reason}.`)
  return null
}
