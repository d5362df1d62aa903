/**
 * What a callback threw, as an error: a framework takes a falsy one for none, and would go on as if all were well.
 */
export function callbackError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error("A callback threw what is no error", { cause: thrown });
}
