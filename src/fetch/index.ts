export type { HttpOptions } from "../http/options.js";
export { clientKey } from "../http/client-key.js";
export type { FetchHandler, FetchRequest, FetchResponse } from "./with-rate-limit.js";
export { rateLimit, rateLimitOf, withRateLimit } from "./with-rate-limit.js";
