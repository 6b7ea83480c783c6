import { fileTypeFromBuffer } from 'file-type'
import mime from 'mime'

/**
 * The type of a file by its bytes, else by its name, else as declared. SVG, HTML and XML are recognised as text, whatever
 * they are called: they are the ones unsafe to serve inline, and no signature names them.
 */
export async function identifyContentType(head: Uint8Array, filename: string, declared?: string): Promise<string> {
  const bySignature = (await fileTypeFromBuffer(head))?.mime
  if (bySignature !== undefined && bySignature !== 'application/xml') return bySignature
  return byText(head, filename) ?? bySignature ?? mime.getType(filename) ?? bare(declared) ?? 'application/octet-stream'
}

/** Lower case, without parameters: Rails' lists match whole strings. */
function bare(type: string | undefined): string | null {
  const text = type?.split(';')[0]?.trim().toLowerCase() ?? ''
  // As long as the column on MySQL.
  return text.length <= 255 && /^[a-z0-9][\w.+-]*\/[a-z0-9][\w.+-]*$/.test(text) ? text : null
}

/** As much of it is looked at: comments may come first. */
const TEXT = 65_536

function byText(head: Uint8Array, filename: string): string | null {
  const start = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, TEXT))
  const text = (start[0] === 0xff && start[1] === 0xfe ? start.toString('utf16le') : start.toString('utf8'))
    .replace(/^\uFEFF/, '')
    .trimStart()
    .toLowerCase()
  if (!text.startsWith('<')) return null
  const isXml = text.startsWith('<?xml')
  const body = text
    .replaceAll(/<!--[\s\S]*?-->/g, '')
    .replace(/^<\?xml[^>]*\?>/, '')
    .trimStart()
  const root = body.replace(/^<!doctype[^>[]*(\[[\s\S]*?\])?[^>]*>/, '').trimStart()
  if (/^<!doctype\s+html|^<html[\s>/]/.test(body) || /^<html[\s>/]/.test(root)) return 'text/html'
  if (/^<svg[\s>/]/.test(root) || /^<!doctype\s+svg/.test(body)) return 'image/svg+xml'
  if (isXml) return 'application/xml'
  if (/^<(head|body|script|iframe|title|style|img|a|div|p|h1|table)[\s>/]/.test(body)) return 'text/html'
  // Other markup is what its name says, but no picture, sound or film.
  return /^(image|audio|video)\//.test(mime.getType(filename) ?? '') ? 'text/plain' : null
}
