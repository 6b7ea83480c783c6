/**
 * Lists the library's columns of the gem's table, in the order in which they are added. Their
 * defaults complete a row that the gem inserts.
 */
export function addedUploadColumns(types: {
  readonly id: string
  readonly text: string
  readonly name: string
}): readonly (readonly [name: string, type: string])[] {
  return [
    ['token', types.name],
    ['origin_id', types.id],
    ['state', `${types.name} default 'pending' not null`],
    ['replaces', types.text],
    ['keeps', types.text],
    ['attempts', 'integer default 0 not null'],
    ['run_at', `${types.id} default 0 not null`],
    ['lease_token', types.name],
    ['lease_until', `${types.id} default 0 not null`],
    ['enqueued_at', `${types.id} default 0 not null`],
    ['last_error', types.text],
    ['unavailable_since', `${types.id} default 0 not null`],
  ]
}

/**
 * Lists the columns of the library's own tables, in the types of one dialect. `reserved` is the
 * name `key` as that dialect quotes it.
 */
export function ownTableColumns(types: {
  readonly id: string
  readonly text: string
  readonly name: string
  readonly bytes: string
  readonly key: string
  readonly reserved: string
}): Readonly<Record<'files' | 'chunks' | 'jobs' | 'workers' | 'locks', string>> {
  const { id, text, name, bytes, key, reserved } = types
  return {
    files: `id ${name} primary key, upload_token ${name}, position integer not null, filename ${text} not null, content_type ${text} not null, byte_size ${id} not null, checksum ${name}, state ${name} not null, service_name ${text}, blob_key ${key}, sent_filename ${text}, sent_size ${id}, sent_checksum ${name}, sent_type ${text}, uploaded_bytes ${id} default 0 not null, last_error ${text}, public_error ${text}, expires_at ${id} not null, created_at ${id} not null`,
    chunks: `file_id ${name} not null, position integer not null, data ${bytes} not null, primary key (file_id, position)`,
    jobs: `id ${name} primary key, name ${name} not null, arguments ${text} not null, ${reserved} ${key} unique, state ${name} default 'pending' not null, run_at ${id} default 0 not null, attempts integer default 0 not null, lease_token ${name}, lease_until ${id} default 0 not null, last_error ${text}`,
    workers: `id ${name} primary key, started_at ${id} not null, seen_at ${id} not null, knows ${text} not null`,
    locks: `bucket integer primary key, version ${id} default 0 not null`,
  }
}
