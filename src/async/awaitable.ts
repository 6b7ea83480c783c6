/** A value, or a promise of it: what a callback of the app may return. */
export type Awaitable<T> = T | PromiseLike<T>
