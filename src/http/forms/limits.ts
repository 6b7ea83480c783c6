import { FormLimitError } from '../../errors/errors.ts'

/** What a form may hold. Sizes of files are their attachments' own limits. */
export interface FormLimits {
  /** How many fields that are no files. Default 1000. */
  readonly fields?: number
  /** How many files. Default 100. */
  readonly files?: number
  /** Bytes of one field. Default 1 MB. */
  readonly fieldSize?: number
  /** Bytes of all fields. Default 10 MB. */
  readonly fieldsSize?: number
  /** Brackets in a name. Default 10. */
  readonly depth?: number
}

/** With the defaults. `nameSize`: characters of a name. */
export interface CompleteFormLimits extends Required<FormLimits> {
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

export const completeFormLimits = (given: FormLimits): CompleteFormLimits => ({
  ...DEFAULT_FORM_LIMITS,
  ...given,
})

/** Returns what is called for each field, or each file. Throws FormLimitError for one too many. */
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

/** Throws FormLimitError. */
export function checkFieldName(name: string, { nameSize, depth }: CompleteFormLimits): void {
  if (name.length < nameSize && name.split('[').length - 1 <= depth) return
  throw new FormLimitError(
    `The name ${JSON.stringify(name.slice(0, 50))}… is too long, or nested deeper than ${depth}.`,
    {
      publicMessage: 'The form has a field whose name is too long.',
    },
  )
}
