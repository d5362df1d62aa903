import { argumentError, memberOf } from "../../core/validate.js";

/** A `Response` of the Fetch standard. */
export interface FetchResponse {
  readonly status: number;
  readonly body: unknown;
  readonly headers: { get(name: string): string | null; set(name: string, value: string): void };
}

/** Whether a value is a `Response` of any realm or platform. */
export function isResponse(value: unknown): value is FetchResponse {
  return (
    typeof memberOf(value, "status") === "number" && typeof memberOf(memberOf(value, "headers"), "set") === "function"
  );
}

/** Checks that `onRefused` returned a response, and returns it. @throws TypeError if not: the request would seem to have passed. */
export function responseOf(value: unknown): FetchResponse {
  if (isResponse(value)) return value;
  throw new TypeError(argumentError("onRefused(request, decision)", "a Response, or a promise of one", value));
}
