import { createFileView, type FileView } from './file-view.ts'
import { followUpload } from './follow-upload.ts'
import { englishLabels, type Labels } from './labels.ts'
import type { FollowedUpload } from './followed-upload.ts'
import { elementStyle } from './style.ts'

/**
 * `<delayed-upload src="…">` shows preview, progress and state of a delayed upload. `src` is
 * `upload.path()`.
 */
export interface DelayedUploadElement extends HTMLElement {
  /** Texts in another language. Missing texts stay English. */
  labels: Partial<Labels>
  /** The last state of the upload. */
  readonly upload: FollowedUpload | null
}

/**
 * Registers the element. A second call does nothing, and neither does a call outside browsers. The
 * element dispatches `delayed-upload:change`, which bubbles, with the upload in `detail`, and sets
 * its attribute `state`. It shows the content between its tags until it has the first state.
 *
 * @example
 * import { defineDelayedUpload } from 'activestorage-delayed/client'
 *
 * defineDelayedUpload()
 */
export function defineDelayedUpload(name: string = 'delayed-upload'): void {
  if (typeof customElements === 'undefined' || customElements.get(name) !== undefined) return

  class Element extends HTMLElement implements DelayedUploadElement {
    static readonly observedAttributes: readonly string[] = ['src']
    upload: FollowedUpload | null = null
    #labels: Labels = englishLabels
    #stop: (() => void) | undefined
    readonly #views = new Map<string, FileView>()
    readonly #list: HTMLUListElement
    readonly #status: HTMLElement

    constructor() {
      super()
      const root = this.attachShadow({ mode: 'open' })
      const sheet = document.createElement('style')
      sheet.textContent = elementStyle
      this.#list = document.createElement('ul')
      this.#list.part.add('list')
      this.#status = document.createElement('p')
      this.#status.setAttribute('role', 'status')
      this.#status.className = 'spoken'
      root.append(sheet, document.createElement('slot'), this.#list, this.#status)
    }
    get labels(): Partial<Labels> {
      return this.#labels
    }
    set labels(given: Partial<Labels>) {
      this.#labels = { ...englishLabels, ...given }
      if (this.upload !== null) this.#show(this.upload)
    }
    connectedCallback(): void {
      this.#follow()
    }
    disconnectedCallback(): void {
      this.#stop?.()
      this.#stop = undefined
    }
    attributeChangedCallback(): void {
      if (this.isConnected) this.#follow()
    }
    #follow(): void {
      this.#stop?.()
      const src = this.getAttribute('src')
      if (src === null || src === '') return
      this.#stop = followUpload(src, (upload) => this.#changed(upload), {
        onGone: () => {
          this.setAttribute('state', 'gone')
          this.#status.textContent = this.#labels.gone
        },
      })
    }
    #changed(upload: FollowedUpload): void {
      const before = this.upload?.state
      this.upload = upload
      this.#show(upload)
      // Screen readers announce changes of the state, but not each byte.
      if (before !== upload.state)
        this.#status.textContent = `${upload.files.map((file) => file.filename).join(', ')}: ${this.#labels[upload.state]}`
      this.dispatchEvent(
        new CustomEvent('delayed-upload:change', { bubbles: true, composed: true, detail: upload }),
      )
    }
    #show(upload: FollowedUpload): void {
      this.setAttribute('state', upload.state)
      for (const file of upload.files) {
        const view = this.#views.get(file.id) ?? createFileView()
        if (!this.#views.has(file.id)) this.#list.append(view.element)
        this.#views.set(file.id, view)
        view.show(file, upload, this.#labels)
      }
      for (const [id, view] of this.#views)
        if (!upload.files.some((file) => file.id === id)) {
          view.element.remove()
          this.#views.delete(id)
        }
    }
  }
  customElements.define(name, Element)
}
