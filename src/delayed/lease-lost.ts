/**
 * The fence has failed: another worker or a newer change owns the upload. The run stops, and writes
 * nothing. Users never see this error.
 */
export class LeaseLostError extends Error {
  constructor() {
    super('The upload was taken over, discarded or superseded.')
    this.name = 'LeaseLostError'
  }
}
