import { isPromiseLike } from "./promise-like.js";

/** Runs somebody else's listener. Whether it throws now or rejects later, only `failed` hears of it. */
export function tell(listener: () => unknown, failed: (error: unknown) => void): void {
  try {
    const heard = listener();
    if (isPromiseLike(heard)) heard.then(undefined, failed);
  } catch (error) {
    failed(error);
  }
}
