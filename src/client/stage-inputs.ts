import { createStagedList } from './staged-list.ts'
import { discardStagedUpload, stageFile, type StagedUpload } from './stage-file.ts'

const SELECTOR = 'input[type="file"][data-staged-upload-url]'
const enhancedInputs = new WeakSet<Element>()

/**
 * Sends files at once when they are chosen in `<input type="file" data-staged-upload-url="…">`,
 * while the visitor fills in the rest of the form. Each file is listed with its preview and
 * progress, and hidden fields replace it. A submitted form waits for files that are still being
 * sent. The URL is the result of `storage.stagedUploadPath('User.photo')`. Without scripts the same
 * form sends the files itself.
 *
 * Events that bubble, with `{ file, … }` in `detail`: `staged-upload:progress`,
 * `staged-upload:done`, `staged-upload:error`. Call it again after inputs were added.
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
  const dispatch = (name: string, detail: object): void =>
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
          dispatch('progress', { file, sent, total })
        },
      })
      entry.showDone(staged)
      dispatch('done', { file, staged })
    } catch (error) {
      if (abort.signal.aborted) return
      entry.showError(error instanceof Error ? error.message : String(error))
      dispatch('error', { file, error })
    }
  }
  const take = (): void => {
    const files = [...(input.files ?? [])]
    // The form must not send the bytes again, so the input is emptied.
    input.value = ''
    if (files.length > 0 && !input.multiple) list.clear()
    for (const file of files) {
      const one: Promise<void> = stage(file).finally(() => running.delete(one))
      running.add(one)
    }
  }
  input.addEventListener('change', take)
  // Files that were chosen before the script ran.
  take()
  input.form?.addEventListener('submit', (event) => {
    if (event.defaultPrevented) return
    // A failed file must not be left out silently: the visitor removes it, or chooses it again.
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
