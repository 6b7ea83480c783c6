export { FormInterceptor, UploadedForm } from './form-interceptor.ts'
export { ActiveStorageModule, type ActiveStorageModuleAsyncOptions, type ActiveStorageModuleOptions } from './module.ts'
export { ACTIVE_STORAGE, InjectActiveStorage } from './token.ts'
