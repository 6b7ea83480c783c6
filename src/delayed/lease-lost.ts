/** The fence failed: another worker or a newer submission owns the upload. The run stops and writes nothing. */
export class LeaseLostError extends Error {
  constructor() {
    super('The upload was taken over, discarded or superseded.')
    this.name = 'LeaseLost'
  }
}
