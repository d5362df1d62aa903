export type { HttpOptions } from "../http/options.js";
export { clientKey } from "../http/client-key.js";
export type { FetchResponse } from "../http/fetch-response.js";
export type { FetchRequest } from "../http/fetch-request.js";
export type { FetchHandler } from "./with-rate-limit.js";
export { rateLimit, rateLimitOf, withRateLimit } from "./with-rate-limit.js";
