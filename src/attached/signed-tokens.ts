import { isUuid } from '../database/uuid.ts'
import type { MessageVerifier } from '../rails/message-verifier.ts'

/** Purposes of signed tokens. A token that was signed for one purpose is not valid for another. */
export const TOKEN_PURPOSE = {
  blob: 'blob_id',
  disk: 'blob_key',
  diskUpload: 'blob_token',
  staged: 'activestorage_delayed_file',
  pending: 'activestorage_delayed_pending',
  attachment: 'activestorage_delayed_attachment',
  upload: 'activestorage_delayed_upload',
} as const

/** A name of `TOKEN_PURPOSE`. */
export type TokenPurpose = keyof typeof TOKEN_PURPOSE

/** A token with a valid signature that has not expired. */
export interface SignedToken {
  /** The signed value, such as an id. */
  readonly value: unknown
  /** null: it never expires. */
  readonly expiresAt: Date | null
}

/**
 * Verifies a token. null: it was changed, signed with another secret or for another purpose, or has
 * expired.
 */
export function readToken(
  { verifier }: { readonly verifier: MessageVerifier },
  purpose: TokenPurpose,
  token: string,
): SignedToken | null {
  const signed = verifier.verify(token, { purpose: TOKEN_PURPOSE[purpose] })
  return signed?.state === 'valid' ? { value: signed.value, expiresAt: signed.expiresAt } : null
}

/** Reads the id that a token holds, as text. null as for `readToken`. */
export function readTokenId(
  context: { readonly verifier: MessageVerifier },
  purpose: TokenPurpose,
  token: string,
): string | null {
  const signed = readToken(context, purpose, token)
  return signed === null ? null : String(signed.value)
}

/**
 * Reads the id of a staged file. An expired token is accepted, because the expiry of the row
 * counts, by the database's clock.
 */
export function readStagedId(
  { verifier }: { readonly verifier: MessageVerifier },
  token: string,
): string | null {
  const signed = verifier.verify(token, { purpose: TOKEN_PURPOSE.staged })
  return signed !== null && isUuid(String(signed.value)) ? String(signed.value) : null
}
