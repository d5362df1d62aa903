export type { ClientKeyOptions, ClientRequest } from "./client-ip.js";
export { clientKey } from "./client-ip.js";
export type { HeaderEntry } from "./headers.js";
export { appendHeader } from "./headers.js";
export { HttpRateLimiter } from "./pipeline.js";
export type { HeaderBag } from "./request-view.js";
export type { HttpLimiter } from "./http-limiter.js";
export type {
  AnswerOptions,
  ByClient,
  ByKey,
  BySeveral,
  HeaderFormatName,
  HttpOptions,
  MemberOptions,
  Soon,
  WhenDown,
} from "./options.js";
export type { RejectionError, Outcome, Rejection } from "./outcome.js";
export type { Problem } from "./problem.js";
export type { RequestView } from "./request-view.js";
