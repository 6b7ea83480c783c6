/** Texts of the element, by the state of an upload; `progress` labels the progress bar. */
export interface Labels {
  readonly pending: string
  readonly running: string
  readonly attached: string
  readonly failed: string
  readonly superseded: string
  readonly discarded: string
  readonly progress: string
  /** Text for an upload that does not exist any more. */
  readonly gone: string
}
/** Default texts. */
export const englishLabels: Labels = {
  pending: 'Waiting',
  running: 'Uploading',
  attached: 'Stored',
  failed: 'Failed',
  superseded: 'Replaced',
  discarded: 'Discarded',
  progress: 'Progress of',
  gone: 'Gone',
}
