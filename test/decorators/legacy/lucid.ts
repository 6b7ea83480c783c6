import { BaseModel, column } from '@adonisjs/lucid/orm'
import { hasManyAttached, hasOneAttached } from 'activestorage-delayed'
import { HasAttachments, withAttachments, type WithAttachments } from 'activestorage-delayed/lucid'

export const userAttachments = {
  photo: hasOneAttached({ required: true }),
  certificates: hasManyAttached(),
}
export const bookAttachments = { cover: hasOneAttached() }

export class User extends withAttachments(userAttachments, BaseModel) {
  @column({ isPrimary: true }) declare id: number
  @column() declare name: string
}

export interface Book extends WithAttachments<typeof bookAttachments> {}
@HasAttachments(bookAttachments)
export class Book extends BaseModel {
  @column({ isPrimary: true }) declare id: number
  @column() declare title: string

  coverFilename(filename: string): string {
    return `${this.title}-${filename}`
  }

  override async save(): Promise<this> {
    this.title = this.title.trim()
    return super.save()
  }
}

export const shadowedAttachments = { photo: hasOneAttached() }
export class Shadowed extends withAttachments(shadowedAttachments, BaseModel) {
  @column({ isPrimary: true }) declare id: number
  // @ts-expect-error it would hide the attachment
  override photo: WithAttachments<typeof shadowedAttachments>['photo']
}
