export type { ClientKeyOptions, ClientRequest } from "./client-ip.js";
export { clientKey } from "./client-ip.js";
export type { HeaderFormatName, HeaderOptions } from "./header-formats.js";
export type { HeaderEntry, ResetFormat } from "./headers.js";
export { HttpRateLimiter, appendHeader } from "./pipeline.js";
export type { HeaderBag } from "./request-view.js";
export type {
  CommonOptions,
  ByClient,
  ByKey,
  BySeveral,
  HttpLimiter,
  HttpOptions,
  MemberOptions,
  MaybePromise,
  RequestLimit,
  WhenDown,
} from "./options.js";
export type { Outcome, Rejection, RejectionError } from "./pipeline.js";
export type { LockedStatus, Problem } from "./problem.js";
export type { RequestView } from "./request-view.js";
