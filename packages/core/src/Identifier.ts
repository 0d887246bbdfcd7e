/**
 * The spelling of every name that travels: ids of workers, jobs and machines, job types, regions.
 *
 * One narrow alphabet keeps names safe in URLs, file names, Redis keys, process names and log lines without any
 * escaping, so a name that was accepted once is accepted everywhere.
 */
import { Schema } from "effect"

const pattern = /^[A-Za-z0-9][A-Za-z0-9._:@-]*$/

/** A name of at most `maxLength` characters, starting with a letter or digit. */
export const identifier = (maxLength: number) =>
  Schema.String.check(
    Schema.isMaxLength(maxLength, { expected: `at most ${maxLength} characters` }).abort(),
    Schema.isPattern(pattern, {
      expected: "letters, digits and . _ : @ - only, starting with a letter or digit"
    })
  )

/** A name chosen by people: job types, regions, worker types, process names. */
export const Name = identifier(128)
