/** A `Request` of the Fetch standard. */
export interface FetchRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

/** A text of everything that a handler may distinguish requests by: method, URL and headers. */
export function identityOf({ method, url, headers }: FetchRequest): string {
  return JSON.stringify([method, url, [...(headers as unknown as Iterable<unknown>)]]);
}
