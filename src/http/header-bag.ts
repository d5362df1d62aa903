import { memberOf } from "../core/expected.js";

/** The headers of a request, as Node keeps them (names in lower case) or as the Fetch standard does. */
export type HeaderBag =
  { readonly get: (name: string) => string | null } | Readonly<Record<string, string | readonly string[] | undefined>>;

/** The value of a header, its lines joined as HTTP joins them. @param name - in lower case. */
export function headerOf(headers: HeaderBag, name: string): string | undefined {
  if (typeof memberOf(headers, "get") === "function") {
    return (headers as { get(name: string): string | null }).get(name) ?? undefined;
  }
  const value = Object.hasOwn(headers, name) ? (headers as Record<string, unknown>)[name] : undefined;
  return Array.isArray(value) ? value.join(", ") : (value as string | undefined);
}
