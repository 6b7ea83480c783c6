// Entities in the usual style of TypeORM: its decorators, with metadata of types, on active
// records.
import {
  BaseEntity,
  Column,
  Entity,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  UpdateDateColumn,
  ChildEntity,
  TableInheritance,
} from 'typeorm'
import {
  hasManyAttached,
  hasOneAttached,
  type AttachmentHooks,
  type OneAttached,
} from 'activestorage-delayed'
import {
  HasAttachments,
  withAttachments,
  type WithAttachments,
} from 'activestorage-delayed/typeorm'

export const told: string[] = []
export const userAttachments = {
  photo: hasOneAttached({ required: true }),
  certificates: hasManyAttached(),
}
export const bookAttachments = { cover: hasOneAttached() }
export const pageAttachments = { scan: hasOneAttached() }

@Entity('users')
export class User extends withAttachments(userAttachments, BaseEntity) {
  @PrimaryGeneratedColumn() id!: number
  @Column() name!: string
  @UpdateDateColumn() updatedAt!: Date
  @OneToMany(() => Book, (book) => book.author, { cascade: true }) books!: Book[]

  photoAfterUpload(file: { filename: string }): void {
    told.push(`${this.name}: ${file.filename}`)
  }
}

export interface Book extends WithAttachments<typeof bookAttachments> {}
@Entity('books')
@TableInheritance({ column: { type: 'varchar', name: 'kind' } })
@HasAttachments(bookAttachments)
export class Book extends BaseEntity implements AttachmentHooks<typeof bookAttachments> {
  @PrimaryGeneratedColumn() id!: number
  @Column() title!: string
  @ManyToOne(() => User, (user) => user.books, { nullable: true }) author?: User

  coverFilename(filename: string): string {
    return `${this.title}-${filename}`
  }
}
@ChildEntity()
export class Comic extends Book {
  coverAfterUploadAll(): void {
    told.push(`${this.title}: all`)
  }
}

/** An entity without a base. The decorator of the ORM runs first. */
export interface Page extends WithAttachments<typeof pageAttachments> {}
@HasAttachments(pageAttachments)
@Entity('pages')
export class Page {
  @PrimaryGeneratedColumn() id!: number
  @Column() number!: number
  declare scan: OneAttached
}

export const shadowedAttachments = { photo: hasOneAttached() }
@Entity()
@HasAttachments(shadowedAttachments)
export class Shadowed extends BaseEntity {
  @PrimaryGeneratedColumn() id!: number
  photo!: WithAttachments<typeof shadowedAttachments>['photo']
  declare photoTmp?: WithAttachments<typeof shadowedAttachments>['photoTmp']
  declare photoDelayedUploads: WithAttachments<typeof shadowedAttachments>['photoDelayedUploads']
}

// @ts-expect-error it has no interface that says what it has
@HasAttachments(bookAttachments)
export class Untyped {
  id!: number
}
