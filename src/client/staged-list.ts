import { formatSize } from './file-view.ts'
import type { StagedUpload } from './stage-file.ts'

/** List of the files that were chosen in an input. It stands below the input. */
export interface StagedList {
  /** Adds a file. `remove` is called when the visitor removes it. */
  add(file: File, remove: () => void): StagedEntry
  /** Removes all files. */
  clear(): void
  /**
   * Focuses the button that removes the first failed file. Returns false when no file has failed.
   */
  focusFailed(): boolean
}
/** One file of the list. */
export interface StagedEntry {
  showProgress(sent: number, total: number): void
  showDone(staged: StagedUpload): void
  showError(message: string): void
}

/** Creates the list as plain markup, with classes for the page's own style sheet. */
export function createStagedList(input: HTMLInputElement): StagedList {
  const list = document.createElement('ul')
  list.className = 'staged-files'
  // Inside a label, a click on a name would open the file dialog again.
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
        // The focused button is gone.
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

/** Creates a preview from the file itself, without a request. */
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
