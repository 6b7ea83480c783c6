import { FormLimitError } from '../../errors/errors.ts'

/** Limits of a form. The sizes of files are limited by their attachments. */
export interface FormLimits {
  /** Number of fields that are not files. Default 1000. */
  readonly fields?: number
  /** Number of files. Default 100. */
  readonly files?: number
  /** Bytes of one field. Default 1 MB. */
  readonly fieldSize?: number
  /** Bytes of all fields together, files not counted. Default 10 MB. */
  readonly fieldsSize?: number
  /** Number of brackets in a name. Default 10. */
  readonly depth?: number
}

/** All limits, with their defaults. */
export interface CompleteFormLimits extends Required<FormLimits> {
  /** Characters of a name. */
  readonly nameSize: number
}

const DEFAULT_FORM_LIMITS: CompleteFormLimits = {
  fields: 1000,
  files: 100,
  fieldSize: 1024 ** 2,
  fieldsSize: 10 * 1024 ** 2,
  depth: 10,
  nameSize: 500,
}

/** Fills in the defaults. */
export const completeFormLimits = (given: FormLimits): CompleteFormLimits => ({
  ...DEFAULT_FORM_LIMITS,
  ...given,
})

/**
 * Returns a function to call for each field or file, which throws FormLimitError for one too many.
 */
export function createCounter(limits: CompleteFormLimits, what: 'fields' | 'files'): () => void {
  const most = limits[what]
  let count = 0
  return () => {
    count += 1
    if (count > most)
      throw new FormLimitError(
        `The form has more ${what} than the ${most} allowed (limits.${what}).`,
        {
          publicMessage: `The form has more than ${most} ${what}. Send fewer at once.`,
        },
      )
  }
}

/** Throws FormLimitError for a name that is too long or nested too deeply. */
export function checkFieldName(name: string, { nameSize, depth }: CompleteFormLimits): void {
  if (name.length < nameSize && name.split('[').length - 1 <= depth) return
  throw new FormLimitError(
    `The name ${JSON.stringify(name.slice(0, 50))}… is too long, or nested deeper than ${depth}.`,
    {
      publicMessage: 'The form has a field whose name is too long.',
    },
  )
}
