/** Whoever typed it is told how it is typed. */
export class UsageError extends Error {}
