import { createStagedList } from './staged-list.ts'
import { discardStagedUpload, stageFile, type StagedUpload } from './stage-file.ts'

const SELECTOR = 'input[type="file"][data-staged-upload-url]'
const enhancedInputs = new WeakSet<Element>()

/**
 * Sends what is chosen in `<input type="file" data-staged-upload-url="…">` at once, while the rest of the form is filled in:
 * each file is listed with its preview and progress, and hidden fields take its place. A form that is submitted meanwhile
 * waits. The URL is what `storage.stagedUploadPath('User.photo')` gave the page. Without scripts the same form sends the files
 * with itself.
 *
 * Events that bubble, with `{ file, … }` in `detail`: `staged-upload:progress`, `staged-upload:done`, `staged-upload:error`.
 * Call it again after inputs were added.
 *
 * @example
 * import { stageInputs } from 'activestorage-delayed/client'
 *
 * stageInputs()
 */
export function stageInputs(root: ParentNode = document): void {
  for (const input of root.querySelectorAll<HTMLInputElement>(SELECTOR))
    if (!enhancedInputs.has(input)) {
      enhancedInputs.add(input)
      enhanceInput(input)
    }
}

function enhanceInput(input: HTMLInputElement): void {
  const list = createStagedList(input)
  const running = new Set<Promise<void>>()
  const tell = (name: string, detail: object): void =>
    void input.dispatchEvent(new CustomEvent(`staged-upload:${name}`, { bubbles: true, detail }))

  const stage = async (file: File): Promise<void> => {
    const abort = new AbortController()
    let staged: StagedUpload | undefined
    const entry = list.add(file, () => {
      abort.abort()
      if (staged !== undefined) void discardStagedUpload(staged)
    })
    try {
      staged = await stageFile(file, input.dataset['stagedUploadUrl'] ?? '', {
        signal: abort.signal,
        onProgress(sent, total) {
          entry.showProgress(sent, total)
          tell('progress', { file, sent, total })
        },
      })
      entry.showDone(staged)
      tell('done', { file, staged })
    } catch (error) {
      if (abort.signal.aborted) return
      entry.showError(error instanceof Error ? error.message : String(error))
      tell('error', { file, error })
    }
  }
  const take = (): void => {
    const files = [...(input.files ?? [])]
    // The bytes travel once: what is listed is no longer chosen.
    input.value = ''
    if (files.length > 0 && !input.multiple) list.clear()
    for (const file of files) {
      const one: Promise<void> = stage(file).finally(() => running.delete(one))
      running.add(one)
    }
  }
  input.addEventListener('change', take)
  // Chosen before the script was there.
  take()
  input.form?.addEventListener('submit', (event) => {
    if (event.defaultPrevented) return
    // Going on without a file that was chosen is for whoever chose it to say, by taking it out.
    if (list.focusFailed()) {
      event.preventDefault()
      return
    }
    if (running.size === 0) return
    event.preventDefault()
    const { submitter } = event
    void Promise.all(running).then(() => input.form?.requestSubmit(submitter))
  })
}
