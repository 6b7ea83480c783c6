import { html, raw } from 'hono/html'
import type { Attachment, DelayedFile, DelayedUpload } from '../../src/index.ts'
import { weather } from './storage.ts'

export interface UserView {
  readonly id: number
  readonly name: string
  readonly photo: Attachment | DelayedFile | null
  readonly certificates: readonly (Attachment | DelayedFile)[]
  readonly uploads: readonly DelayedUpload[]
}

type Html = ReturnType<typeof html>
const size = (bytes: number): string =>
  bytes < 1024 ? `${bytes} B` : bytes < 1024 ** 2 ? `${(bytes / 1024).toFixed(0)} KB` : `${(bytes / 1024 ** 2).toFixed(1)} MB`
const address = (file: Attachment | DelayedFile): string => (file.state === 'attached' ? `/attachments/${file.id}` : `/pending/${file.id}`)
const labels = { staged: 'waiting', uploading: 'uploading', attached: 'stored', failed: 'failed' } as const

function badge(file: Attachment | DelayedFile): Html {
  const waiting = file.state === 'staged' && 'lastError' in file && file.lastError !== null
  return html`<span class="badge ${file.state}" ${waiting ? html`title="${file.lastError}"` : ''}
    >${waiting ? 'will be retried' : labels[file.state]}</span
  >`
}

function progress(file: Attachment | DelayedFile): Html | string {
  if (file.state !== 'uploading' || !('uploadedBytes' in file)) return ''
  return html`<progress
    max="${Math.max(file.byteSize, 1)}"
    value="${file.uploadedBytes}"
    aria-label="Progress of ${file.filename}"
  ></progress>`
}

function userCard(user: UserView): Html {
  const failed = user.uploads.filter((upload) => upload.state === 'failed')
  return html`<article class="card">
    <header>
      ${user.photo === null ? html`<div class="photo none" aria-hidden="true">${user.name.slice(0, 1).toUpperCase()}</div>` : html`<img class="photo" src="${address(user.photo)}" alt="Photo of ${user.name}" />`}
      <div class="who">
        <h2>${user.name}</h2>
        ${
          user.photo === null
            ? html`<p class="muted">no photo</p>`
            : html`<p>${badge(user.photo)} <span class="muted">${user.photo.filename} · ${size(user.photo.byteSize)}</span></p>
                ${progress(user.photo)}`
        }
      </div>
    </header>
    <form method="post" action="/users/${user.id}" enctype="multipart/form-data">
      ${
        user.certificates.length === 0
          ? html`<p class="muted">No certificates yet.</p>`
          : html`<ul>
              ${user.certificates.map(
                (file) =>
                  html`<li>
                    <div class="row">
                      ${file.state === 'attached' ? html`<input type="checkbox" name="user[certificates_tmp][deleted_ids][]" value="${file.id}" aria-label="Delete ${file.filename}" />` : html`<span class="tick"></span>`}
                      <a href="${address(file)}">${file.filename}</a><span class="muted">${size(file.byteSize)}</span>${badge(file)}
                    </div>
                    ${progress(file)}
                  </li>`,
              )}
            </ul>`
      }
      ${failed.map(
        (upload) =>
          html`<div class="error" role="alert">
            <p>
              <b
                >${upload.files
                  .filter((file) => file.state === 'failed')
                  .map((file) => file.filename)
                  .join(', ')}</b
              >: ${upload.lastError}
            </p>
            <button formaction="/uploads/${upload.id}/retry" class="small">Retry</button>
            <button formaction="/uploads/${upload.id}/discard" class="small plain">Discard</button>
          </div>`,
      )}
      <details>
        <summary>Change</summary>
        <label>New photo <input type="file" name="user[photo_tmp]" accept="image/*" /></label>
        <label>Add certificates <input type="file" name="user[certificates_tmp][files][]" multiple /></label>
        <label class="inline"
          ><input type="checkbox" name="user[certificates_tmp][clean_before]" value="1" /> Remove all certificates that are there (once the
          first new one is stored; at once if none is added)</label
        >
        <p class="muted">Tick certificates above to delete them.</p>
        <button>Save</button>
      </details>
    </form>
  </article>`
}

/** The part that is refreshed while files travel. */
export function usersPart(users: readonly UserView[]): Html {
  const busy = users.some((user) => user.uploads.some((upload) => upload.state !== 'failed'))
  return html`<section id="users" data-busy="${String(busy)}">
    ${users.length === 0 ? html`<p class="empty">Nobody here yet. Add the first user: the page answers at once, the files follow.</p>` : users.map(userCard)}
  </section>`
}

/** A form that was refused: why, and what was typed. */
export interface Refused {
  readonly error: string
  readonly name: string
}

export function page(users: readonly UserView[], refused: Refused | null): Html {
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
          <p class="lead">Saved at once with their record; carried to the storage service in the background.</p>
          <form method="post" action="/weather" class="weather">
            <span>Storage service:</span>
            <button name="slow" value="${weather.slow ? '' : '1'}" class="switch" aria-pressed="${String(weather.slow)}">slow</button>
            <button name="failing" value="${weather.failing ? '' : '1'}" class="switch" aria-pressed="${String(weather.failing)}">
              failing
            </button>
          </form>
          ${refused === null ? '' : html`<div class="error" role="alert"><p>${refused.error}</p></div>`}
          <form method="post" action="/users" enctype="multipart/form-data" class="card new">
            <h2>New user</h2>
            <label>Name <input name="user[name]" required maxlength="80" value="${refused?.name ?? ''}" /></label>
            <label>Photo <input type="file" name="user[photo_tmp]" accept="image/*" /></label>
            <label>Certificates <input type="file" name="user[certificates_tmp][files][]" multiple /></label><button>Save</button>
          </form>
          ${usersPart(users)}
        </main>
        <script>
          ${raw(script)}
        </script>
      </body>
    </html>`
}

const script = `
const refresh = async () => {
  const users = document.getElementById('users')
  // What somebody ticked or chose is not taken from them, nor what they do while the answer travels.
  const inUse = () =>
    users.querySelector('details[open], input:checked') !== null ||
    [...users.querySelectorAll('input[type=file]')].some((input) => input.files.length > 0)
  if (users.dataset.busy === 'true' && !inUse()) {
    const text = await fetch('/users').then((answer) => (answer.ok ? answer.text() : null)).catch(() => null)
    if (text !== null && !inUse()) users.outerHTML = text
  }
  setTimeout(refresh, 500)
}
refresh()`

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
ul { list-style: none; margin: 0; padding: 0 } li { border-top: 1px solid var(--line); padding: .5rem 0 } .row { display: flex; gap: .6rem; align-items: center } .row a { flex: 1; min-width: 0; overflow-wrap: anywhere; color: inherit } .tick { width: 20px }
.badge { font-size: .75rem; padding: .1rem .55rem; border-radius: 99px; white-space: nowrap; background: light-dark(#e7ebf0, #2c333b) } .badge.attached { background: light-dark(#d9f2e6, #163d2e) } .badge.uploading { background: light-dark(#dbe8ff, #1b3357) } .badge.failed { background: light-dark(#ffdeda, #5b1f1a) }
progress { width: 100%; height: 6px; accent-color: var(--accent) } summary { cursor: pointer; padding: .5rem 0; color: var(--accent) } .error { border-left: 4px solid var(--bad); padding: .4rem .8rem; margin: .6rem 0; background: color-mix(in srgb, var(--bad) 8%, transparent) } .empty { text-align: center; color: var(--muted); padding: 2rem 0 }`
