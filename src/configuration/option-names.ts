/** Names of the options of `createActiveStorage`. */
export const optionNames: readonly string[] = [
  'database',
  'services',
  'service',
  'models',
  'secretKeyBase',
  'jobs',
  'images',
  'recordId',
  'staging',
  'retries',
  'serviceTimeouts',
  'direct',
  'logger',
  'failed',
  'gem',
  'tables',
  'rails',
  'basePath',
  'authorize',
  'afterRefusal',
  'findRecord',
]

/** Names inside those options that are objects with a few values. */
export const nestedOptionNames: Readonly<Record<string, readonly string[]>> = {
  staging: ['expiresIn', 'maxSize', 'maxFiles'],
  retries: ['attempts', 'minDelay', 'maxDelay', 'for'],
  serviceTimeouts: ['progress', 'call', 'copy'],
  direct: ['timeout', 'onFailure'],
  failed: ['keepFor'],
  gem: ['moveAfter'],
  tables: ['prefix', 'schema'],
  afterRefusal: ['maxBytes', 'timeout'],
  rails: ['keyDigest', 'envelope'],
}
