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
    setStatus(status: { code: number; message: string }): void
    setAttribute(name: string, value: string): void
  }
  export const SpanStatusCode: { ERROR: number }
  export interface Context {
    getValue(key: symbol): unknown
  }
  export const context: { active(): Context }
  export const trace: {
    getTracer(name: string): {
      startSpan(name: string, options: { attributes: object }, parent?: Context): Span
    }
    setSpan(context: Context, span: Span): Context
  }
}
declare module 'next' {
  export interface NextConfig {
    serverExternalPackages?: readonly string[]
  }
}
