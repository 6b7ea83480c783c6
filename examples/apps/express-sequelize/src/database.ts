import { Sequelize } from 'sequelize'

export const database = new Sequelize(process.env.DATABASE_URL ?? 'postgres://localhost/example', {
  logging: false,
})
