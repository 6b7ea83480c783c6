// Types of ORM classes with attachments: wrong names and shapes do not compile.
import {
  Model as SequelizeModel,
  type CreationOptional,
  type InferAttributes,
  type InferCreationAttributes,
} from 'sequelize'
import { BaseEntity, type EntityManager } from 'typeorm'
import type { EntityManager as MikroEntityManager } from '@mikro-orm/core'
import { BaseModel } from '@adonisjs/lucid/orm'
import { Model as ObjectionModel, QueryBuilder, type Page } from 'objection'
import {
  hasManyAttached,
  hasOneAttached,
  type Attachment,
  type DelayedUpload,
} from '../../src/index.ts'
import { withAttachments as lucid } from '../../src/orm/lucid/index.ts'
import { withAttachments as mikroOrm } from '../../src/orm/mikro-orm/index.ts'
import { withAttachments as objection } from '../../src/orm/objection/index.ts'
import { withAttachments as sequelize } from '../../src/orm/sequelize/index.ts'
import { withAttachments as typeorm } from '../../src/orm/typeorm/index.ts'

declare const file: File
declare function expectType<T>(value: T): void
const attachments = { photo: hasOneAttached(), certificates: hasManyAttached() }

class TypeormUser extends typeorm(attachments, BaseEntity) {
  id!: string
  name!: string
}
class MikroUser extends mikroOrm(attachments) {
  id!: string
  name!: string
}
class SequelizeUser extends sequelize(attachments, SequelizeModel)<
  InferAttributes<SequelizeUser>,
  InferCreationAttributes<SequelizeUser>
> {
  declare id: CreationOptional<string>
  declare name: string
}
class ObjectionUser extends objection(attachments, ObjectionModel) {
  declare id: string
  declare name: string
}
class OwnQueries<M extends ObjectionModel, R = M[]> extends QueryBuilder<M, R> {
  declare ArrayQueryBuilderType: OwnQueries<M, M[]>
  declare SingleQueryBuilderType: OwnQueries<M, M>
  declare MaybeSingleQueryBuilderType: OwnQueries<M, M | undefined>
  declare NumberQueryBuilderType: OwnQueries<M, number>
  declare PageQueryBuilderType: OwnQueries<M, Page<M>>
  living(): this {
    return this
  }
}
class OwnModel extends ObjectionModel {
  declare QueryBuilderType: OwnQueries<this>
  static override QueryBuilder = OwnQueries
}
class ObjectionMember extends objection(attachments, OwnModel) {
  declare id: string
  declare name: string
  declare user?: ObjectionUser
}
class LucidUser extends lucid(attachments, BaseModel) {
  declare id: string
  declare name: string
}

/** The same on every record. */
export async function onAny(
  user: TypeormUser | MikroUser | SequelizeUser | ObjectionUser | LucidUser,
): Promise<void> {
  expectType<Attachment | null>(await user.photo.attachment())
  expectType<Attachment[]>(await user.certificates.attachments())
  expectType<DelayedUpload[]>(await user.photoDelayedUploads())
  user.photoTmp = file
  user.photoTmp = null
  user.certificatesTmp = [file]
  user.certificatesTmp = { files: [file], deletedIds: ['1'], cleanBefore: false }
  // @ts-expect-error a list for one
  user.photoTmp = [file]
  // @ts-expect-error has-one has no list
  await user.photo.attachments()
  // @ts-expect-error no such attachment
  await user.avatar.attach(file)
}

export async function created(manager: EntityManager, em: MikroEntityManager): Promise<void> {
  expectType<TypeormUser>(manager.create(TypeormUser, { name: 'Ada', photoTmp: file }))
  expectType<TypeormUser>(TypeormUser.create({ name: 'Ada', photoTmp: file }))

  expectType<MikroUser>(em.create(MikroUser, { id: '1', name: 'Ada', photoTmp: file }))
  expectType<MikroUser>(
    em.create(MikroUser, { id: '1', name: 'Ada', photo: file, certificates: [file] }),
  )
  expectType<MikroUser>(
    em.create(MikroUser, { id: '1', name: 'Ada', photo: null, certificates: { files: [file] } }),
  )
  expectType<MikroUser>(em.assign(new MikroUser(), { photo: file }))
  // @ts-expect-error name is missing
  em.create(MikroUser, { id: '1', photoTmp: file })
  // @ts-expect-error a list for one
  em.create(MikroUser, { id: '1', name: 'Ada', photo: [file] })
  // @ts-expect-error no such attachment
  em.create(MikroUser, { id: '1', name: 'Ada', foto: file })

  expectType<SequelizeUser>(
    await SequelizeUser.create({ name: 'Ada', photoTmp: file, certificates: [file] }),
  )
  expectType<SequelizeUser>(SequelizeUser.build({ name: 'Ada', photo: file }))
  expectType<SequelizeUser[]>(await SequelizeUser.bulkCreate([{ name: 'Ada', photoTmp: file }]))
  expectType<SequelizeUser | null>(await SequelizeUser.findOne({ where: { name: 'Ada' } }))
  // @ts-expect-error it is no column
  await SequelizeUser.findOne({ where: { photoTmp: file } })
  // @ts-expect-error no such attachment
  await SequelizeUser.create({ name: 'Ada', fotoTmp: file })
  // @ts-expect-error name is missing
  await SequelizeUser.create({ photoTmp: file })

  expectType<ObjectionUser>(await ObjectionUser.query().insert({ name: 'Ada', photoTmp: file }))
  expectType<ObjectionUser>(
    await ObjectionUser.query().insert({ name: 'Ada', photo: file, certificates: [file] }),
  )
  expectType<ObjectionUser>(
    await ObjectionUser.query().insertAndFetch({ name: 'Ada', photo: file }),
  )
  expectType<ObjectionUser[]>(await ObjectionUser.query().insert([{ name: 'Ada', photo: file }]))
  expectType<number>(await ObjectionUser.query().findById('1').patch({ photo: file }))
  expectType<number>(
    await ObjectionUser.query().where('name', 'Ada').update({ photo: file, name: 'Eve' }),
  )
  expectType<ObjectionUser>(await ObjectionUser.query().patchAndFetchById('1', { photo: null }))
  expectType<ObjectionUser | undefined>(await ObjectionUser.query().findOne({ name: 'Ada' }))
  expectType<number>(await new ObjectionUser().$query().patch({ photo: file }))
  expectType<number>(await new ObjectionUser().$query().delete())
  // @ts-expect-error a list for one
  await ObjectionUser.query().insert({ name: 'Ada', photoTmp: [file] })
  // @ts-expect-error a list for one
  await ObjectionUser.query().insert({ name: 'Ada', photo: [file] })
  // @ts-expect-error no such attachment
  await ObjectionUser.query().insert({ name: 'Ada', foto: file })
  // @ts-expect-error no such column's type
  await ObjectionUser.query().insert({ name: 1, photo: file })

  expectType<ObjectionMember>(
    await ObjectionMember.query().living().insert({ name: 'Ada', photo: file }),
  )
  expectType<ObjectionMember[]>(
    await ObjectionMember.query().living().where('name', 'Ada').living(),
  )
  expectType<ObjectionMember | undefined>(await ObjectionMember.query().findById('1').living())
  expectType<ObjectionMember>(
    await ObjectionMember.query().insertGraph({
      name: 'Ada',
      photoTmp: file,
      user: { name: 'Eve' },
    }),
  )
  expectType<ObjectionUser>(
    await new ObjectionMember().$relatedQuery('user').insert({ name: 'Eve', photo: file }),
  )
  expectType<typeof ObjectionModel>(ObjectionUser)

  expectType<LucidUser>(await LucidUser.create({ name: 'Ada', photoTmp: file }))
  expectType<LucidUser>(await LucidUser.create({ name: 'Ada', photo: file, certificates: [file] }))
  expectType<LucidUser[]>(await LucidUser.createMany([{ name: 'Ada', photo: file }]))
  expectType<LucidUser>(new LucidUser().fill({ name: 'Ada', photo: file }).merge({ photo: null }))
  expectType<typeof BaseModel>(LucidUser)
  // @ts-expect-error a list for one
  await LucidUser.create({ name: 'Ada', photoTmp: [file] })
  // @ts-expect-error a list for one
  await LucidUser.create({ name: 'Ada', photo: [file] })
  // @ts-expect-error no such attachment
  await LucidUser.create({ name: 'Ada', foto: file })
}

/** Attachments are named where each ORM's users name what is to be loaded. */
export async function readAhead(manager: EntityManager, em: MikroEntityManager): Promise<void> {
  const [user] = await manager.find(TypeormUser, { relations: { photo: true } })
  expectType<Attachment | null | undefined>(await user?.photo.attachment())
  // @ts-expect-error no such attachment
  await manager.find(TypeormUser, { relations: { avatar: true } })

  const populated = await em.findOneOrFail(
    MikroUser,
    { id: '1' },
    { populate: ['photo', 'certificates'] },
  )
  expectType<Attachment | null>(await populated.photo.attachment())
  expectType<Attachment[]>(await populated.certificates.attachments())
  populated.photoTmp = file
  // @ts-expect-error no such attachment
  await em.findAll(MikroUser, { populate: ['avatar'] })

  expectType<SequelizeUser[]>(await SequelizeUser.findAll({ include: ['photo'] }))
  expectType<ObjectionUser[]>(await ObjectionUser.query().withGraphFetched('photo'))

  expectType<LucidUser[]>(await LucidUser.query().preload('photo').where('name', 'Ada'))
  await (await LucidUser.findOrFail(1)).load('certificates')
  // @ts-expect-error no such attachment
  void LucidUser.query().preload('avatar')
  // @ts-expect-error a column
  void LucidUser.query().preload('name')
}
