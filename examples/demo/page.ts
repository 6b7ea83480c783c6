import { html, raw } from 'hono/html'
import type { Attachment, DelayedFile, DelayedUpload, HiddenField } from '../../src/index.ts'
import { storage, weather } from './storage.ts'

export interface UserView {
  readonly id: number
  readonly name: string
  readonly photo: Attachment | DelayedFile | null
  readonly certificates: readonly Attachment[]
  readonly uploads: readonly DelayedUpload[]
}

type Html = ReturnType<typeof html>
const size = (bytes: number): string =>
  bytes < 1024
    ? `${bytes} B`
    : bytes < 1024 ** 2
      ? `${(bytes / 1024).toFixed(0)} KB`
      : `${(bytes / 1024 ** 2).toFixed(1)} MB`

/**
 * An upload on its way: the element follows it by itself. What failed waits for somebody to decide.
 */
function uploadPart(upload: DelayedUpload): Html {
  return html`<delayed-upload src="${upload.path()}"
      >${upload.files.map((file) => file.filename).join(', ')}</delayed-upload
    >
    <p class="decide" ${upload.state === 'failed' ? '' : 'hidden'}>
      <button formaction="/uploads/${upload.id}/retry" class="small">Retry</button>
      <button formaction="/uploads/${upload.id}/discard" class="small plain">Discard</button>
    </p>`
}

function userCard(user: UserView): Html {
  return html`<article class="card">
    <header>
      ${user.photo === null ? html`<div class="photo none" aria-hidden="true">${user.name.slice(0, 1).toUpperCase()}</div>` : html`<img class="photo" src="${user.photo.path()}" alt="Photo of ${user.name}" />`}
      <div class="who">
        <h2>${user.name}</h2>
        <p class="muted">
          ${user.photo === null ? 'no photo' : `${user.photo.filename} · ${size(user.photo.byteSize)}`}
        </p>
      </div>
    </header>
    <form method="post" action="/users/${user.id}" enctype="multipart/form-data">
      ${
        user.certificates.length === 0
          ? html`<p class="muted">No certificates stored yet.</p>`
          : html`<ul>
              ${user.certificates.map(
                (file) =>
                  html`<li class="row">
                    <input
                      type="checkbox"
                      name="user[certificates_tmp][deleted_ids][]"
                      value="${file.id}"
                      aria-label="Delete ${file.filename}"
                    />
                    <a href="${file.path()}">${file.filename}</a
                    ><span class="muted">${size(file.byteSize)}</span>
                  </li>`,
              )}
            </ul>`
      }
      ${user.uploads.map(uploadPart)}
      <details>
        <summary>Change</summary>
        <label>New photo ${photoInput()}</label>
        <label>Add certificates ${certificatesInput()}</label>
        <label class="inline"
          ><input type="checkbox" name="user[certificates_tmp][clean_before]" value="1" /> Remove
          all certificates that are there (once the first new one is stored; at once if none is
          added)</label
        >
        <p class="muted">Tick certificates above to delete them.</p>
        <button>Save</button>
      </details>
    </form>
  </article>`
}

/** Sent as soon as they are chosen, where scripts run; with the form, where not. */
const photoInput = (): Html =>
  html`<input
    type="file"
    name="user[photo_tmp]"
    accept="image/*"
    data-staged-upload-url="${storage.stagedUploadPath('User.photo')}"
  />`
const certificatesInput = (): Html =>
  html`<input
    type="file"
    name="user[certificates_tmp][files][]"
    multiple
    data-staged-upload-url="${storage.stagedUploadPath('User.certificates')}"
  />`

/** The part that is shown anew when a file has arrived. */
export function usersPart(users: readonly UserView[]): Html {
  return html`<section id="users">
    ${users.length === 0 ? html`<p class="empty">There are no users yet. Add the first one: the page responds at once, and its files are uploaded afterwards.</p>` : users.map(userCard)}
  </section>`
}

/** A form that is shown again: why, what was typed, and the files that came with it. */
export interface Refused {
  readonly error: string | null
  readonly name: string
  readonly hidden: readonly HiddenField[]
}

function keptFile({ name, value, filename, path }: HiddenField): Html {
  return html`<li class="row">
    ${path === null ? '' : html`<img src="${path}" alt="" class="kept" />`}<span
      >${filename ?? 'A file that was sent before'}</span
    >
    <input type="hidden" name="${name}" value="${value}" />
  </li>`
}

export function page(users: readonly UserView[], refused: Refused): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>activestorage-delayed</title>
        <link rel="icon" href="data:," />
        <style>
          ${raw(style)}
        </style>
      </head>
      <body>
        <main>
          <h1>Users</h1>
          <p class="lead">
            Files are saved at once with their record, and uploaded to the storage service in the
            background.
          </p>
          <form method="post" action="/weather" class="weather">
            <span>Storage service:</span>
            <button
              name="slow"
              value="${weather.slow ? '' : '1'}"
              class="switch"
              aria-pressed="${String(weather.slow)}"
            >
              slow
            </button>
            <button
              name="failing"
              value="${weather.failing ? '' : '1'}"
              class="switch"
              aria-pressed="${String(weather.failing)}"
            >
              failing
            </button>
          </form>
          ${refused.error === null ? '' : html`<div class="error" role="alert"><p>${refused.error}</p></div>`}
          <form method="post" action="/users" enctype="multipart/form-data" class="card new">
            <h2>New user</h2>
            <label
              >Name <input name="user[name]" required maxlength="80" value="${refused.name}"
            /></label>
            ${
              refused.hidden.length === 0
                ? ''
                : html`<ul class="kept-files" aria-label="Files that are kept">
                    ${refused.hidden.map(keptFile)}
                  </ul>`
            }
            <label>Photo ${photoInput()}</label>
            <label>Certificates ${certificatesInput()}</label><button>Save</button>
          </form>
          ${usersPart(users)}
        </main>
        <script type="module">
          ${raw(script)}
        </script>
      </body>
    </html>`
}

const script = `
import { defineDelayedUpload, stageInputs } from '/client/index.ts'
defineDelayedUpload()
stageInputs()

let isStale = false
const refresh = async () => {
  const users = document.getElementById('users')
  // What somebody ticked or chose is not taken from them, nor what they do while the answer travels.
  const inUse = () => users.querySelector('details[open], input:checked, .staged-files li') !== null
  if (!isStale || inUse()) return
  const text = await fetch('/users').then((answer) => (answer.ok ? answer.text() : null)).catch(() => null)
  if (text === null || inUse()) return
  isStale = false
  users.outerHTML = text
  stageInputs()
}
document.addEventListener('delayed-upload:change', ({ target, detail }) => {
  target.nextElementSibling.hidden = detail.state !== 'failed'
  isStale ||= ['attached', 'superseded', 'discarded'].includes(detail.state)
  refresh()
})
document.addEventListener('toggle', refresh, true)
document.addEventListener('change', refresh)`

const style = `
:root { color-scheme: light dark; --line: light-dark(#dfe3e8, #363c44); --card: light-dark(#fff, #1d2126); --muted: light-dark(#5d6772, #9aa5b1); --accent: light-dark(#0b6e4f, #4cc497); --bad: light-dark(#b3261e, #ff8a80) }
* { box-sizing: border-box }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; background: light-dark(#f5f6f8, #14171a) }
main { max-width: 44rem; margin: 0 auto; padding: 2rem 1rem 4rem }
h1 { margin: 0; font-size: 1.8rem } h2 { margin: 0; font-size: 1.15rem; overflow-wrap: anywhere }
.lead, .muted { color: var(--muted) } .lead { margin: .25rem 0 1rem } p { margin: .25rem 0 } .muted { font-size: .875rem }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem; margin: 1rem 0 }
.card header { display: flex; gap: 1rem; align-items: center; margin-bottom: .75rem } .who { min-width: 0; flex: 1 }
.photo { width: 72px; height: 72px; border-radius: 50%; object-fit: cover; flex: none; background: var(--line) } .none { display: grid; place-items: center; font-size: 1.6rem; color: var(--muted) }
label { display: block; margin: .6rem 0; font-weight: 500 } label.inline { font-weight: 400 } label input:not([type=checkbox]) { display: block; width: 100%; margin-top: .25rem; font: inherit }
input[name='user[name]'] { padding: .5rem .6rem; border: 1px solid var(--line); border-radius: 8px }
button { font: inherit; padding: .5rem 1.1rem; min-height: 44px; border: 0; border-radius: 8px; background: var(--accent); color: light-dark(#fff, #08130e); cursor: pointer } button.small { padding: .25rem .8rem } button.plain { background: none; color: inherit; border: 1px solid var(--line) }
button:focus-visible, input:focus-visible, summary:focus-visible { outline: 3px solid color-mix(in srgb, var(--accent) 50%, transparent); outline-offset: 2px }
.weather { display: flex; gap: .5rem; align-items: center; flex-wrap: wrap } .switch { background: none; color: inherit; border: 1px solid var(--line) } .switch[aria-pressed=true] { background: light-dark(#ffe9b8, #5a4410); border-color: transparent }
ul { list-style: none; margin: 0; padding: 0 } li { border-top: 1px solid var(--line); padding: .5rem 0 } .row { display: flex; gap: .6rem; align-items: center } .row a { flex: 1; min-width: 0; overflow-wrap: anywhere; color: inherit }
.staged-files li, .kept-files li { display: flex; flex-wrap: wrap; gap: .25rem .6rem; align-items: center } .staged-name { min-width: 0; flex: 1 8rem; overflow-wrap: anywhere } .staged-size { color: var(--muted); font-size: .875rem } .staged-files progress { width: 6rem } .staged-remove { padding: .25rem .8rem; background: none; color: inherit; border: 1px solid var(--line) } .staged-error { flex-basis: 100%; color: var(--bad); font-size: .875rem } .staged-preview, .kept { width: 40px; height: 40px; object-fit: cover; border-radius: 6px }
delayed-upload { border-top: 1px solid var(--line); --delayed-upload-accent: var(--accent); --delayed-upload-error: var(--bad) } .decide { padding-bottom: .5rem } [hidden] { display: none !important }
progress { width: 100%; height: 6px; accent-color: var(--accent) } summary { cursor: pointer; padding: .5rem 0; color: var(--accent) } .error { border-left: 4px solid var(--bad); padding: .4rem .8rem; margin: .6rem 0; background: color-mix(in srgb, var(--bad) 8%, transparent) } .empty { text-align: center; color: var(--muted); padding: 2rem 0 }`
