import type { Decision } from "../core/decision.js";
import { assertBoolean, assertOneOf, typeError } from "../core/validate.js";
import type { HeaderEntry, HeaderFormat, LimiterResult, ResetFormat } from "./headers.js";
import { EXPOSE_HEADERS } from "./headers.js";
import { DRAFT_11 } from "./headers-draft-11.js";
import { DRAFT_6 } from "./headers-draft-6.js";
import { DRAFT_7 } from "./headers-draft-7.js";
import { DRAFT_8 } from "./headers-draft-8.js";
import { LEGACY } from "./headers-legacy.js";

/** The names of the wire formats of rate-limit headers. */
export type HeaderFormatName = "draft-11" | "draft-8" | "draft-7" | "draft-6" | "legacy" | "both";

/** The options of the fields that show the limits. */
export interface HeaderOptions {
  /**
   * Which response fields show the limits: those of a draft of the IETF, `"legacy"` for `X-RateLimit-*`, `"both"` for draft 11 and
   * `X-RateLimit-*`, or `false` for none. A refusal by a limit always has `Retry-After`, unless no wait would help.
   *
   * Drafts 11 and 8 show every limit of a request. Drafts 7 and 6 and `X-RateLimit-*` show the limit that binds, and if several
   * middlewares limit a request, that of one of them: use `limiters` in place of several middlewares.
   * @default "draft-11"
   */
  readonly headers?: HeaderFormatName | false | undefined;
  /**
   * How `RateLimit-Reset` of draft 6 and `X-RateLimit-Reset` show a time: `"seconds"` from now, or `"epoch"` for seconds since 1970.
   * A `TypeError` with any other format.
   * @default "seconds" in draft 6, "epoch" in X-RateLimit-Reset
   */
  readonly resetFormat?: ResetFormat | undefined;
  /**
   * Whether the fields of draft 11 or 8 contain the partition key `pk`: a boolean. A client that acts for several users, say, can
   * distinguish their limits by it. `true` is a `TypeError` with any other format.
   *
   * `pk` is the Base64 of the first 12 hexadecimal digits of the SHA-256 of the limiter's key. It does not hide a key that can be
   * guessed, such as an address or an e-mail, from others who see the response.
   * @default false
   */
  readonly partitionKey?: boolean | undefined;
  /**
   * Whether `Access-Control-Expose-Headers` lists the fields of the format and `Retry-After`, so that a script of another origin
   * can read them: a boolean. The names are appended to those that the response already has.
   * @default false
   */
  readonly exposeHeaders?: boolean | undefined;
}

const BOTH: HeaderFormat = {
  fieldNames: [...DRAFT_11.fieldNames, ...LEGACY.fieldNames],
  isNamed: DRAFT_11.isNamed || LEGACY.isNamed,
  hasPartitionKey: DRAFT_11.hasPartitionKey,
  resetFormat: LEGACY.resetFormat,
  fieldsOf: (...given) => [...DRAFT_11.fieldsOf(...given), ...LEGACY.fieldsOf(...given)],
};

const HEADER_FORMATS: Readonly<Record<HeaderFormatName, HeaderFormat>> = {
  "draft-11": DRAFT_11,
  "draft-8": DRAFT_8,
  "draft-7": DRAFT_7,
  "draft-6": DRAFT_6,
  legacy: LEGACY,
  both: BOTH,
};

const NO_HEADERS: HeaderFormat = {
  fieldNames: [],
  isNamed: false,
  hasPartitionKey: false,
  resetFormat: undefined,
  fieldsOf: () => [],
};

function formatOf(headers: HeaderFormatName | false = "draft-11"): HeaderFormat {
  return headers === false ? NO_HEADERS : HEADER_FORMATS[headers];
}

/** @throws TypeError for an option of the wrong type or one that the format has not, RangeError for an unknown value. */
export function checkHeaderOptions({ headers, resetFormat, partitionKey, exposeHeaders }: HeaderOptions): void {
  if (headers !== undefined && headers !== false) {
    assertOneOf("headers", headers, Object.keys(HEADER_FORMATS), " or false");
  }
  if (exposeHeaders !== undefined) assertBoolean("exposeHeaders", exposeHeaders);
  if (resetFormat !== undefined) {
    assertOneOf("resetFormat", resetFormat, ["seconds", "epoch"]);
    if (formatOf(headers).resetFormat === undefined) {
      throw typeError(
        "resetFormat",
        onlyWith((format) => format.resetFormat !== undefined),
        resetFormat,
      );
    }
  }
  if (partitionKey !== undefined && assertBoolean("partitionKey", partitionKey) && !formatOf(headers).hasPartitionKey) {
    throw typeError(
      "partitionKey",
      onlyWith((format) => format.hasPartitionKey),
      partitionKey,
    );
  }
}

function onlyWith(hasOption: (format: HeaderFormat) => boolean): string {
  const names = Object.entries(HEADER_FORMATS).flatMap(([name, format]) => (hasOption(format) ? `"${name}"` : []));
  return `absent unless \`headers\` is one of ${names.join(", ")}`;
}

/** A wire format with its settings. */
export interface HeaderWriter {
  /** See {@link HeaderFormat.isNamed}. */
  readonly isNamed: boolean;
  /** See {@link HeaderFormat.fieldsOf}. */
  readonly fieldsOf: (decision: Decision, results: readonly LimiterResult[]) => readonly HeaderEntry[];
}

/** Returns the format that the options choose. The options must have passed {@link checkHeaderOptions}. */
export function headerWriter(options: HeaderOptions): HeaderWriter {
  const { headers, partitionKey = false, exposeHeaders = false } = options;
  const { isNamed, fieldNames, fieldsOf, ...format } = formatOf(headers);
  const settings = { partitionKey, resetFormat: options.resetFormat ?? format.resetFormat ?? "seconds" };
  if (!exposeHeaders) return { isNamed, fieldsOf: (decision, results) => fieldsOf(decision, results, settings) };
  const exposed: HeaderEntry = [EXPOSE_HEADERS, [...fieldNames, "Retry-After"].join(", ")];
  return { isNamed, fieldsOf: (decision, results) => [...fieldsOf(decision, results, settings), exposed] };
}
