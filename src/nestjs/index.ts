export { FormInterceptor, UploadedForm } from './form-interceptor.ts'
export { ActiveStorageModule } from './module.ts'
export type { ActiveStorageModuleAsyncOptions, ActiveStorageModuleOptions } from './options.ts'
export { ACTIVE_STORAGE, InjectActiveStorage } from './token.ts'
