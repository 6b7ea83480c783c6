import { Collection } from '@mikro-orm/core'
import { Entity, ManyToOne, OneToMany, PrimaryKey, Property } from '@mikro-orm/decorators/es'
import { hasManyAttached, hasOneAttached } from 'activestorage-delayed'
import {
  HasAttachments,
  withAttachments,
  type WithAttachments,
} from 'activestorage-delayed/mikro-orm'

export const userAttachments = {
  photo: hasOneAttached({ required: true }),
  certificates: hasManyAttached(),
}
export const bookAttachments = { cover: hasOneAttached() }

@Entity({ tableName: 'users' })
export class User extends withAttachments(userAttachments) {
  @PrimaryKey({ type: 'integer' }) id!: number
  @Property({ type: 'string' }) name!: string
  @OneToMany(() => Book, (book) => book.author) books = new Collection<Book>(this)
}

export interface Book extends WithAttachments<typeof bookAttachments> {}
@Entity({
  tableName: 'books',
  discriminatorColumn: 'kind',
  discriminatorMap: { book: 'Book', comic: 'Comic' },
})
@HasAttachments(bookAttachments)
export class Book {
  @PrimaryKey({ type: 'integer' }) id!: number
  @Property({ type: 'string' }) title!: string
  @ManyToOne(() => User, { nullable: true }) author?: User

  coverFilename(filename: string): string {
    return `${this.title}-${filename}`
  }
}
@Entity()
export class Comic extends Book {}

export const shadowedAttachments = { photo: hasOneAttached() }
@Entity()
export class Shadowed extends withAttachments(shadowedAttachments) {
  @PrimaryKey({ type: 'integer' }) id!: number
  // @ts-expect-error it would hide the attachment
  override photo: WithAttachments<typeof shadowedAttachments>['photo']
}
