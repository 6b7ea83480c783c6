import type { Labels } from './labels.ts'
import type { FollowedFile, FollowedUpload } from './snapshot.ts'

/** One file's line. Its nodes stay, so that nothing flickers; whatever the server says of it becomes text, never markup. */
export interface FileView {
  readonly element: HTMLLIElement
  show(file: FollowedFile, upload: FollowedUpload, labels: Labels): void
}

function part<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  name: string,
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  element.part.add(name)
  return element
}

export function fileView(): FileView {
  const element = part('li', 'file')
  const preview = part('span', 'preview')
  preview.setAttribute('aria-hidden', 'true')
  const image = part('img', 'image')
  image.alt = ''
  const name = part('span', 'name')
  const size = part('span', 'size')
  const state = part('span', 'state')
  const progress = part('progress', 'progress')
  const error = part('span', 'error')
  element.append(preview, name, size, state, progress, error)
  image.addEventListener('error', () => image.remove())

  return {
    element,
    show(file, upload, labels) {
      const label = stateOf(file, upload)
      element.dataset['state'] = label
      name.textContent = file.filename
      size.textContent = sizeOf(file.byteSize)
      state.textContent = labels[label]
      error.textContent = file.lastError ?? ''
      error.hidden = file.lastError === null || label === 'attached'
      progress.hidden = label !== 'running'
      progress.max = Math.max(file.byteSize, 1)
      progress.value = file.uploadedBytes
      progress.setAttribute('aria-label', `${labels.progress} ${file.filename}`)
      // One that was seen before it was stored need not be loaded again.
      if (file.contentType.startsWith('image/') && file.path !== null) {
        if (image.getAttribute('src') === null) {
          image.src = file.path
          preview.replaceChildren(image)
        }
      } else preview.textContent = file.filename.slice(0, 1).toUpperCase()
    },
  }
}

function stateOf(file: FollowedFile, upload: FollowedUpload): FollowedUpload['state'] {
  if (file.state === 'attached' || file.state === 'failed') return file.state
  if (file.state === 'dropped') return upload.state === 'superseded' ? 'superseded' : 'discarded'
  return file.state === 'uploading' ? 'running' : upload.state
}

const units = ['B', 'KB', 'MB', 'GB', 'TB'] as const

/** In the units of the server's limits: 1024-based. */
export function sizeOf(bytes: number): string {
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? 'B'}`
}
