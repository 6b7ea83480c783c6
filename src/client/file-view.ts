import type { Labels } from './labels.ts'
import type { FollowedFile, FollowedUpload } from './followed-upload.ts'

/**
 * One line for a file. Its nodes stay, so that it does not flicker. Values of the server become
 * text, never markup.
 */
export interface FileView {
  readonly element: HTMLLIElement
  show(file: FollowedFile, upload: FollowedUpload, labels: Labels): void
}

function createPart<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  name: string,
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  element.part.add(name)
  return element
}

/** Creates the line of a file. */
export function createFileView(): FileView {
  const element = createPart('li', 'file')
  const preview = createPart('span', 'preview')
  preview.setAttribute('aria-hidden', 'true')
  const image = createPart('img', 'image')
  image.alt = ''
  const name = createPart('span', 'name')
  const size = createPart('span', 'size')
  const state = createPart('span', 'state')
  const progress = createPart('progress', 'progress')
  const error = createPart('span', 'error')
  element.append(preview, name, size, state, progress, error)
  image.addEventListener('error', () => image.remove())

  return {
    element,
    show(file, upload, labels) {
      const label = displayedState(file, upload)
      element.dataset['state'] = label
      name.textContent = file.filename
      size.textContent = formatSize(file.byteSize)
      state.textContent = labels[label]
      error.textContent = file.lastError ?? ''
      error.hidden = file.lastError === null || label === 'attached'
      progress.hidden = label !== 'running'
      progress.max = Math.max(file.byteSize, 1)
      progress.value = file.uploadedBytes
      progress.setAttribute('aria-label', `${labels.progress} ${file.filename}`)
      // An image that was shown before it was stored need not be loaded again.
      if (file.contentType.startsWith('image/') && file.path !== null) {
        if (image.getAttribute('src') === null) {
          image.src = file.path
          preview.replaceChildren(image)
        }
      } else preview.textContent = file.filename.slice(0, 1).toUpperCase()
    },
  }
}

function displayedState(file: FollowedFile, upload: FollowedUpload): FollowedUpload['state'] {
  if (file.state === 'attached' || file.state === 'failed') return file.state
  if (file.state === 'dropped') return upload.state === 'superseded' ? 'superseded' : 'discarded'
  return file.state === 'uploading' ? 'running' : upload.state
}

const SIZE_UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const

/** Formats a size in units of 1024 bytes, as the server's limits do. */
export function formatSize(bytes: number): string {
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < SIZE_UNITS.length - 1; unit += 1) value /= 1024
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${SIZE_UNITS[unit] ?? 'B'}`
}
