import { formatSize } from './file-view.ts'
import type { StagedUpload } from './stage-file.ts'

/** The files that were chosen in an input, below it. */
export interface StagedList {
  /** `remove` is called when somebody takes the file out. */
  add(file: File, remove: () => void): StagedEntry
  /** Takes all out. */
  clear(): void
  /** true: one has failed, and what takes it out has the focus. */
  focusFailed(): boolean
}
export interface StagedEntry {
  showProgress(sent: number, total: number): void
  showDone(staged: StagedUpload): void
  showError(message: string): void
}

/** Plain markup in the page, with classes for its own style sheet. */
export function createStagedList(input: HTMLInputElement): StagedList {
  const list = document.createElement('ul')
  list.className = 'staged-files'
  // Inside a label, a click on a name would ask for files again.
  ;(input.closest('label') ?? input).after(list)
  const removers = new Set<() => void>()
  const failed = new Set<HTMLButtonElement>()
  return {
    focusFailed() {
      for (const button of failed) {
        button.focus()
        return true
      }
      return false
    },
    clear() {
      for (const remove of removers) remove()
    },
    add(file, onRemove) {
      const item = document.createElement('li')
      const name = document.createElement('span')
      name.className = 'staged-name'
      name.textContent = file.name
      const size = document.createElement('span')
      size.className = 'staged-size'
      size.textContent = formatSize(file.size)
      const bar = document.createElement('progress')
      bar.setAttribute('aria-label', file.name)
      const button = document.createElement('button')
      button.type = 'button'
      button.className = 'staged-remove'
      button.textContent = input.dataset['removeLabel'] ?? 'Remove'
      button.setAttribute('aria-label', `${button.textContent} ${file.name}`)
      const message = document.createElement('span')
      message.className = 'staged-error'
      message.setAttribute('role', 'alert')
      item.append(name, size, bar, button, message)
      if (file.type.startsWith('image/')) item.prepend(createPreview(file))
      list.append(item)
      const remove = (): void => {
        removers.delete(remove)
        failed.delete(button)
        item.remove()
        onRemove()
      }
      removers.add(remove)
      button.addEventListener('click', () => {
        remove()
        // Where the keyboard was is gone.
        input.focus()
      })
      return {
        showProgress(sent, total) {
          bar.max = Math.max(total, 1)
          bar.value = sent
        },
        showDone({ signedId }) {
          const field = document.createElement('input')
          field.type = 'hidden'
          field.name = input.name
          field.value = signedId
          bar.remove()
          item.append(field)
        },
        showError(text) {
          failed.add(button)
          bar.remove()
          message.textContent = text
        },
      }
    },
  }
}

/** From the file itself: nothing is loaded for it. */
function createPreview(file: File): HTMLImageElement {
  const image = document.createElement('img')
  image.className = 'staged-preview'
  image.alt = ''
  image.src = URL.createObjectURL(file)
  const release = (): void => URL.revokeObjectURL(image.src)
  image.addEventListener('load', release, { once: true })
  image.addEventListener('error', release, { once: true })
  return image
}
