/** The environment of this process; `Configuration` says what its variables mean. */
export const environment: Readonly<Record<string, string | undefined>> = process.env
