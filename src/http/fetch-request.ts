/** A `Request` of the Fetch standard. */
export interface FetchRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

/** Everything that a handler may tell requests apart by. */
export function identityOf({ method, url, headers }: FetchRequest): string {
  return JSON.stringify([method, url, [...(headers as unknown as Iterable<unknown>)]]);
}
