// Packages of which an example of the docs needs a little, and the project nothing.
declare module 'pino' {
  interface Log {
    debug(details: object | undefined, message: string): void
    info(details: object | undefined, message: string): void
    warn(details: object | undefined, message: string): void
    error(details: object | undefined, message: string): void
  }
  const pino: { (options: object): Log; stdSerializers: { err: (error: Error) => object } }
  export default pino
}
declare module '@opentelemetry/api' {
  export interface Span {
    end(): void
    recordException(error: Error): void
  }
  export const trace: { getTracer(name: string): { startSpan(name: string): Span } }
}
