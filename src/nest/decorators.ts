import type { ExecutionContext } from "@nestjs/common";
import { SetMetadata } from "@nestjs/common";
import { Reflector } from "@nestjs/core";
import { rangeError } from "../core/validate.js";
import type { DeclaredLimitOptions } from "./declared-limit.js";
import { DeclaredLimit } from "./declared-limit.js";

/** The limits of a handler: names of the `limiters` of the module, and limits of its own. */
export type Selection = readonly (string | DeclaredLimit)[];

/** The key of the metadata that holds a {@link Selection}. */
const SELECTION = "sluicegate:limits";

const reflector = new Reflector();

/**
 * Selects the limits of a class or method, in place of the default limits of the module: names of its `limiters`, and limits of
 * this class or method alone. A call counts in all of them or in none. The decorator of a method replaces that of its class.
 *
 * A limit of its own has the name of the class and method as its default name: `"UserController.search"`. The methods of a class
 * share a limit that is declared on the class. It is kept in the `store` of the module.
 *
 * @throws TypeError for a limit that is neither a name nor an object, or has an option that is unknown or of the wrong type;
 *   RangeError for an option out of range, for no limit, and for two limits of one name. A name that the module does not have is
 *   an error when the application starts.
 *
 * @example
 * \@RateLimit("login")
 * \@RateLimit({ maxCalls: 5, period: "1m" })
 * \@RateLimit("everything", { maxCalls: 5, period: "1m" })
 */
export function RateLimit(...limits: readonly (string | DeclaredLimitOptions)[]): ClassDecorator & MethodDecorator {
  if (limits.length === 0)
    throw rangeError("@RateLimit", "at least one limit (without any: `@SkipRateLimit()`)", "none");
  return (target: object, method?: string | symbol, descriptor?: unknown): void => {
    const place = method === undefined ? nameOf(target) : `${nameOf(target.constructor)}.${String(method)}`;
    const selection = limits.map((limit) => (typeof limit === "string" ? limit : new DeclaredLimit(limit, place)));
    const names = selection.map(nameOf);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) throw rangeError("@RateLimit", "limits of different names (set `name`)", twice);
    SetMetadata(SELECTION, selection)(target, method as never, descriptor as never);
  };
}

/**
 * Lets the calls of a class or method pass uncounted. A `@RateLimit` of a method replaces that of its class.
 *
 * @example
 * \@SkipRateLimit()
 */
export function SkipRateLimit(): ClassDecorator & MethodDecorator {
  return SetMetadata<string, Selection>(SELECTION, []);
}

/** Returns what the decorators of a method, or else of its class, select; undefined if neither has one. */
export function selectionOf(method: ReturnType<ExecutionContext["getHandler"]>, owner: object): Selection | undefined {
  return reflector.getAllAndOverride<Selection | undefined>(SELECTION, [method, owner as never]);
}

/** Returns the name of a member of a selection, or of a class. */
function nameOf(named: string | object): string {
  return typeof named === "string" ? named : (named as { readonly name: string }).name;
}
