import { BaseSchema } from '@adonisjs/lucid/schema'

export default class extends BaseSchema {
  async up(): Promise<void> {
    this.schema.createTable('users', (table) => {
      table.increments('id')
      table.string('name').notNullable()
    })
  }

  async down(): Promise<void> {
    this.schema.dropTable('users')
  }
}
