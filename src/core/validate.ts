/**
 * The one wording of every complaint about an argument: ``Expected `x` to be RULE, got `VALUE` (type)``.
 *
 * The value is shown on one line and cut short, so that neither a key of a megabyte nor a line break reaches a log.
 */
export function argumentError(name: string, rule: string, value: unknown): string {
  return `Expected \`${name}\` to be ${rule}, got \`${display(value)}\` (${typeName(value)})`;
}

/**
 * Checks that `value` is a whole number from `least` to `most` and returns it.
 *
 * @throws TypeError when it is not a number, RangeError when it is fractional, NaN or out of range.
 */
export function assertInteger(
  name: string,
  value: unknown,
  least: 0 | 1,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  const rule = least === 0 ? "a non-negative integer" : "a positive integer";
  if (typeof value !== "number") throw new TypeError(argumentError(name, rule, value));
  if (value > most && value < Infinity) throw new RangeError(argumentError(name, `${rule}, at most ${most}`, value));
  if (!Number.isSafeInteger(value) || value < least) throw new RangeError(argumentError(name, rule, value));
  return value;
}

/**
 * Checks that `value` is a share of a whole and returns it: 85 is none, 0.85 is.
 *
 * @throws TypeError when it is not a number, RangeError when it is NaN or out of range.
 */
export function assertFraction(name: string, value: unknown, mayBeZero: boolean): number {
  const rule = mayBeZero ? "a fraction from 0 to 1" : "a fraction above 0, up to 1";
  if (typeof value !== "number") throw new TypeError(argumentError(name, rule, value));
  if (!(value >= 0 && value <= 1) || (value === 0 && !mayBeZero))
    throw new RangeError(argumentError(name, rule, value));
  return value;
}

/**
 * Checks that `value` is an object that has no property but the `known` ones, and returns a copy of it.
 *
 * A misspelt option would otherwise be a limit that is silently not the one asked for. The copy is what was checked: it
 * has no prototype for somebody else's properties to come from, and no getter that answers otherwise the second time.
 *
 * @throws TypeError when it is no object, or names an option that does not exist.
 */
export function parseOptions<T extends object>(name: string, value: T, known: readonly string[]): T {
  const options = known.join(", ");
  if (typeof value !== "object" || (value as unknown) === null || Array.isArray(value)) {
    throw new TypeError(argumentError(name, `an object with the options ${options}`, value));
  }
  const copy = ownCopy(value);
  for (const [option, got] of Object.entries(copy)) {
    if (known.includes(option)) continue;
    throw new TypeError(argumentError(option, `one of the options ${options}${hereCalled(option, known)}`, got));
  }
  return copy;
}

const SECONDS = ", whose bare numbers are seconds";

/** Options of other packages, with those that do the same here. */
const ELSEWHERE: Readonly<Record<string, readonly string[]>> = ownCopy({
  ...Object.fromEntries(
    ["windowMs", "window", "duration", "interval", "timeWindow", "ttl"].map((name) => [name, ["period"]]),
  ),
  ...Object.fromEntries(
    ["max", "limit", "points", "requests", "maxRequests"].map((name) => [name, ["maxCalls", "baseMaxCalls"]]),
  ),
  keyGenerator: ["key"],
  keyPrefix: ["name"],
  handler: ["onRefused"],
  errorResponseBuilder: ["onRefused"],
  skipSuccessfulRequests: ["refundWhen"],
  skipFailedRequests: ["refundWhen"],
  standardHeaders: ["headers"],
  legacyHeaders: ["headers"],
  allowList: ["skip"],
  skipIf: ["skip"],
  weight: ["cost"],
  trustProxy: ["client"],
  passOnStoreError: ["whenDown"],
  skipOnError: ["whenDown"],
  insuranceLimiter: ["whenDown"],
  storeClient: ["client"],
  redis: ["client"],
});

/** What an option of another package is called here, where it is known; else nothing. */
function hereCalled(option: string, known: readonly string[]): string {
  const names = ELSEWHERE[option] ?? [];
  const unit = names[0] === "period" ? SECONDS : "";
  const own = names.find((name) => known.includes(name));
  if (own !== undefined) return `; here it is \`${own}\`${unit}`;
  // Those of a limit are options of a limiter, which is an option of others, or of the limits of one that has several.
  const [holder] = names.length > 0 ? ["limiter", "limits", "tiers"].filter((name) => known.includes(name)) : [];
  return holder === undefined ? "" : `; here it is \`${String(names[0])}\` of the \`${holder}\`${unit}`;
}

/**
 * Copies the properties of an object's own to one without a prototype: nothing that somebody has put on `Object.prototype` is
 * taken for an option. A rest (`...rest`) and a spread (`{ ...copy }`) of the result have a prototype again.
 */
export function ownCopy<T extends object>(value: T): T {
  return Object.assign(Object.create(null) as T, value);
}

/**
 * Reads a member of an object, its own or its class's, and undefined where only `Object.prototype` has one: so that nothing
 * that somebody has put there makes an object a limiter, a store or a client.
 */
export function memberOf(value: unknown, name: string): unknown {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
  let owner: object | null = value;
  while (owner !== null && owner !== Object.prototype) {
    if (Object.hasOwn(owner, name)) return (value as Readonly<Record<string, unknown>>)[name];
    owner = Object.getPrototypeOf(owner) as object | null;
  }
  return undefined;
}

/** Checks that `value` is a function, or undefined. @throws TypeError when it is neither. */
export function assertOptionalFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "function") {
    throw new TypeError(argumentError(name, "a function", value));
  }
}

/**
 * Checks that `value` is one of the `known` words and returns it.
 *
 * @param others - what may stand in place of a word, for the error: " or false".
 * @throws TypeError when it is not a string, RangeError when it is another one.
 */
export function assertOneOf<T extends string>(
  name: string,
  value: unknown,
  known: readonly T[],
  others: string = "",
): T {
  const found = known.find((word) => word === value);
  if (found !== undefined) return found;
  const rule = known.map((word) => `"${word}"`).join(" or ") + others;
  throw new (typeof value === "string" ? RangeError : TypeError)(argumentError(name, rule, value));
}

const LONGEST_SHOWN = 60;

function display(value: unknown): string {
  let text: string;
  try {
    text = String(value);
  } catch {
    // An object without a prototype, or with a `toString` of its own that throws.
    text = "[object]";
  }
  // Control characters are what a log must be spared.
  const line = text.slice(0, LONGEST_SHOWN).replace(/[\u0000-\u001f\u007f\u2028\u2029]/g, " ");
  return text.length > LONGEST_SHOWN ? `${line}…` : line;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}
