import router from '@adonisjs/core/services/router'
import server from '@adonisjs/core/services/server'

server.errorHandler(() => import('#exceptions/handler'))
// Before any parser of bodies.
server.use([() => import('#middleware/storage_middleware')])
router.use([() => import('@adonisjs/core/bodyparser_middleware')])
