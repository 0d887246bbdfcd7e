/** Settings of connectors as they come from variables: texts, each checked and named when it is wrong. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import * as SchemaIssues from "@muster/core/SchemaIssues"
import { InvalidConfiguration } from "@muster/core/worker/WorkerErrors"
import { Effect, Redacted, Schema, SchemaGetter } from "effect"

const fromText = <S extends Schema.Codec<number, number>>(schema: S) =>
  Schema.NumberFromString.pipe(Schema.decodeTo(schema))

/** A whole number within bounds. */
export const integer = (minimum: number, maximum: number) =>
  fromText(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

/** Any number within bounds. */
export const amount = (minimum: number, maximum: number) =>
  fromText(Schema.Finite.check(Schema.isBetween({ minimum, maximum })))

export const flag = Schema.Literals(["true", "false"]).pipe(
  Schema.decodeTo(Schema.Boolean, {
    decode: SchemaGetter.transform((text) => text === "true"),
    encode: SchemaGetter.transform((on) => (on ? ("true" as const) : ("false" as const)))
  })
)

/** An http or https URL without credentials; a slash at its end is dropped. */
export const httpUrl = Schema.String.check(
  Schema.makeFilter(
    (text) =>
      URL.canParse(text) &&
      ["http:", "https:"].includes(new URL(text).protocol) &&
      new URL(text).username === "" &&
      new URL(text).password === "",
    { expected: "an http or https URL without credentials" }
  )
).pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transform((text) => text.replace(/\/+$/, "")),
    encode: SchemaGetter.passthrough()
  })
)

/** A text of a form that no message repeats. */
export const secretLike = (form: RegExp, expected: string) =>
  Schema.String.check(Schema.isPattern(form, { expected })).pipe(
    Schema.decodeTo(Schema.Redacted(Schema.String), {
      decode: SchemaGetter.transform((text) => Redacted.make(text)),
      encode: SchemaGetter.transform((hidden) => Redacted.value(hidden))
    })
  )

export const secret = secretLike(/^[^]+$/, "a secret")

/** A secret that goes into a header: with a line break or a placeholder in it, every service would only look dead. */
export const token = secretLike(/^[\x21-\x7e]+$/, "a secret of ASCII characters without spaces")

/** Decodes the settings of a connector; says everything that is wrong with them at once. */
export const decode = <S extends Schema.Constraint & { readonly DecodingServices: never }>(
  connector: string,
  schema: S,
  settings: Readonly<Record<string, string>>
): Effect.Effect<S["Type"], InvalidConfiguration> =>
  Schema.decodeUnknownEffect(schema as unknown as Schema.Codec<S["Type"], unknown>, { errors: "all" })(settings).pipe(
    Effect.mapError(({ issue }) => {
      const detail = SchemaIssues.all(issue).map((found) => SchemaIssues.sentence(found, "the settings"))
      return new InvalidConfiguration({ path: connector, detail: detail.join("; ") })
    })
  )

/** Decodes the payload of a job, in which nothing unknown may stand. */
export const decodePayload = <A, I>(schema: Schema.Codec<A, I>, payload: unknown): Effect.Effect<A, ConnectorFailure> =>
  Schema.decodeUnknownEffect(schema, { onExcessProperty: "error", errors: "all" })(payload ?? {}).pipe(
    Effect.mapError(
      (error) => new ConnectorFailure({ kind: "InvalidPayload", message: SchemaIssues.describe(error, "the payload") })
    )
  )
