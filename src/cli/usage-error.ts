/** A wrong command line. Its message is printed and the exit code is 2. */
export class UsageError extends Error {}
