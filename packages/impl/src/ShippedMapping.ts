/** Where the mapping that comes along is, for who reads settings and must not load its connectors for that. */
import { fileURLToPath } from "node:url"

/** In it every connector is reached by some job type. */
export const file = fileURLToPath(new URL("../../../service-mapping.json", import.meta.url))
