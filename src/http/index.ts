export type { ClientKeyOptions, ClientRequest } from "./client-key.js";
export { clientKey } from "./client-key.js";
export type { Field } from "./field.js";
export { joined } from "./field.js";
export { Guard } from "./guard.js";
export type { HeaderBag } from "./header-bag.js";
export type { HttpLimiter } from "./http-limiter.js";
export type {
  AnswerOptions,
  ByClient,
  ByKey,
  BySeveral,
  HttpOptions,
  MemberOptions,
  Soon,
  WhenDown,
} from "./options.js";
export type { ErrorAnswer, Passage, Refusal } from "./passage.js";
export type { Problem } from "./problem.js";
export type { RequestView } from "./request-view.js";
