/**
 * The message of every error about an argument: ``Expected `x` to be RULE, got `VALUE` (type)``.
 *
 * The value is shortened and shown on one line, so that a log gets neither a megabyte nor a line break.
 */
export function argumentError(name: string, rule: string, value: unknown): string {
  return `Expected \`${name}\` to be ${rule}, got \`${display(value)}\` (${typeName(value)})`;
}

/** An error about an argument of the wrong type, with the message of {@link argumentError}. */
export function typeError(name: string, rule: string, value: unknown): TypeError {
  // A promise in place of a value, such as the result of an async callback: nothing else handles its rejection.
  if (value instanceof Promise) value.catch(() => undefined);
  return coded(new TypeError(argumentError(name, rule, value)));
}

/** An error about an argument out of range, with the message of {@link argumentError}. */
export function rangeError(name: string, rule: string, value: unknown): RangeError {
  return coded(new RangeError(argumentError(name, rule, value)));
}

/** Adds the code of all errors about arguments, which `docs/errors.md` explains. The message needs none: it names rule and value. */
function coded<E extends Error>(error: E): E {
  return Object.assign(error, { code: "SLUICEGATE_INVALID_ARGUMENT" });
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
  if (typeof value !== "number") throw typeError(name, rule, value);
  if (value > most && value < Infinity) throw rangeError(name, `${rule}, at most ${most}`, value);
  if (!Number.isSafeInteger(value) || value < least) throw rangeError(name, rule, value);
  return value;
}

/**
 * Checks that `value` is a fraction and returns it: 0.85, and not 85.
 *
 * @throws TypeError when it is not a number, RangeError when it is NaN or out of range.
 */
export function assertFraction(name: string, value: unknown, mayBeZero: boolean): number {
  const rule = mayBeZero ? "a fraction from 0 to 1" : "a fraction above 0, up to 1";
  if (typeof value !== "number") throw typeError(name, rule, value);
  if (!(value >= 0 && value <= 1) || (value === 0 && !mayBeZero)) throw rangeError(name, rule, value);
  return value;
}

/**
 * Checks that `value` is an object without other properties than the `known` ones, and returns a copy of it.
 *
 * A misspelt option would otherwise be ignored, and another limit be enforced than the one that was meant. The copy has no
 * prototype whose properties could be read as options, and no getter that could return another value than the one checked.
 *
 * @param renamed - names of options in other packages, with their names here: for the hint in the error.
 * @throws TypeError if it is not an object, or has an unknown option.
 */
export function parseOptions<T extends object>(
  name: string,
  value: T,
  known: readonly string[],
  renamed: Readonly<Record<string, string>> = {},
): T {
  if (typeof value !== "object" || (value as unknown) === null || Array.isArray(value)) {
    throw typeError(name, `an object with the options ${known.join(", ")}`, value);
  }
  const copy = ownCopy(value);
  for (const [option, got] of Object.entries(copy)) {
    if (known.includes(option)) continue;
    throw typeError(option, `${hintFor(option, known, ownCopy(renamed))}one of the options ${known.join(", ")}`, got);
  }
  return copy;
}

/** Option names of other packages that mean a period, and a number of calls. */
const PERIODS = ["windowMs", "window", "duration", "interval", "timeWindow", "ttl"];
const CALLS = ["max", "limit", "points", "requests", "maxRequests"];

/** The hint for an option that has another name in this package, as the start of a rule; empty if there is none. */
function hintFor(option: string, known: readonly string[], renamed: Readonly<Record<string, string>>): string {
  const isPeriod = PERIODS.includes(option);
  const name = isPeriod ? "period" : CALLS.includes(option) ? "maxCalls" : renamed[option];
  const unit = isPeriod ? ", whose bare numbers are seconds" : "";
  const own = [name, name === "maxCalls" && "baseMaxCalls"].find((one) => known.includes(one as string));
  // A limit is set on a limiter, or in the limits of a limiter that has several.
  const holder = ["limiter", "limits", "tiers"].find((one) => known.includes(one));
  // Beside a `limiter`, the option `maxCalls` is that of a request.
  const isOfRequest = own === "maxCalls" && holder === "limiter";
  if (own !== undefined && !isOfRequest) return `\`${String(own)}\`${unit}, or `;
  if (holder === undefined || name === undefined) return "";
  return `\`${name}\` of the \`${holder}\`${unit}, or `;
}

/**
 * Copies the own properties of an object to one without a prototype, so that a property of a polluted `Object.prototype` is not
 * read as an option. A rest (`...rest`) and a spread (`{ ...copy }`) of the result have a prototype again.
 */
export function ownCopy<T extends object>(value: T): T {
  return Object.assign(Object.create(null) as T, value);
}

/**
 * Reads a property of an object or of its class. Returns undefined if only `Object.prototype` has it, so that a polluted
 * prototype does not turn an object into a limiter, a store or a client.
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
    throw typeError(name, "a function", value);
  }
}

/** Checks that `value` is a boolean, and returns it: a promise would always be truthy. @throws TypeError when it is not one. */
export function assertBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw typeError(name, "a boolean", value);
  return value;
}

/**
 * Checks that `value` is one of the `known` strings and returns it.
 *
 * @param others - which other values the option accepts, for the error: " or false".
 * @throws TypeError if it is not a string, RangeError if it is another string.
 */
export function assertOneOf<T extends string>(
  name: string,
  value: unknown,
  known: readonly T[],
  others: string = "",
): T {
  const match = known.find((word) => word === value);
  if (match !== undefined) return match;
  const rule = known.map((word) => `"${word}"`).join(" or ") + others;
  throw (typeof value === "string" ? rangeError : typeError)(name, rule, value);
}

const LONGEST_SHOWN = 60;

/** Shows a value in an error: shortened, on one line, and without its keys if it is an object. */
export function display(value: unknown): string {
  let text: string;
  try {
    text = String(value);
  } catch {
    // An object without a prototype, or whose `toString` throws.
    text = "[object]";
  }
  // No control characters: a line break would forge a line of a log.
  const line = text.slice(0, LONGEST_SHOWN).replace(/[\u0000-\u001f\u007f\u2028\u2029]/g, " ");
  return text.length > LONGEST_SHOWN ? `${line}…` : line;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}
