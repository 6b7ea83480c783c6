import type { HttpContext } from '@adonisjs/core/http'
import User from '#models/user'
import { storage } from '#services/storage'
import { usersPage } from '#services/users_page'

export default class UsersController {
  async index(): Promise<string> {
    return usersPage(await User.query().orderBy('id'))
  }

  async store({ request, response }: HttpContext): Promise<void> {
    const { values, files } = await storage.parseForm(request.request, { model: 'User' })
    await User.create({
      name: String(values.name ?? ''),
      photoTmp: files.photo,
      certificatesTmp: files.certificates,
    })
    response.redirect().status(303).toPath('/')
  }
}
