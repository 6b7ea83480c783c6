import { get } from 'node:http'

/** What a stream of an upload's events came to. */
export interface Followed {
  /** Resolves once the first event is there. */
  readonly opened: Promise<void>
  /** The last state that was told, when the server has ended the stream; else why there is none. */
  readonly ended: Promise<string>
}

/** Follows an upload as a browser does, on a connection of its own. */
export function follow(url: string): Followed {
  const opened = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<string>()
  let last = 'nothing'
  const broken = (error: Error): void => {
    opened.resolve()
    ended.resolve(`broken off after ${last}: ${error.message}`)
  }
  const request = get(
    url,
    { agent: false, headers: { Accept: 'text/event-stream' } },
    (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
        const events = text.split('\n\n')
        text = events.pop() ?? ''
        for (const event of events) {
          const data = /^data: (.*)$/m.exec(event)?.[1]
          if (data !== undefined) last = String((JSON.parse(data) as { state: string }).state)
        }
        opened.resolve()
      })
      response.on('end', () => {
        opened.resolve()
        ended.resolve(response.statusCode === 200 ? last : `${response.statusCode} after ${last}`)
      })
      response.on('error', broken)
    },
  )
  request.on('error', broken)
  return { opened: opened.promise, ended: ended.promise }
}
