import { BaseModel, column } from '@adonisjs/lucid/orm'
import { hasManyAttached, hasOneAttached } from 'activestorage-delayed'
import { withAttachments } from 'activestorage-delayed/lucid'

export const userAttachments = {
  photo: hasOneAttached({ accept: ['image/*'], maxSize: '20 MB' }),
  certificates: hasManyAttached({ maxFiles: 30, maxSize: '2 GB' }),
}

export default class User extends withAttachments(userAttachments, BaseModel) {
  @column({ isPrimary: true })
  declare id: number

  @column()
  declare name: string
}
