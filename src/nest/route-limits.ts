import type { ExecutionContext } from "@nestjs/common";
import { assertOptionalFunction, rangeError, typeError } from "../core/validate.js";
import type { BySeveral, HttpOptions, MemberOptions } from "../http/options.js";
import { checkedHttpOptions } from "../http/options.js";
import { HttpRateLimiter } from "../http/pipeline.js";
import type { RequestView } from "../http/request-view.js";
import { assertStore } from "../limiter/options.js";
import type { RequestOf } from "./context.js";
import { requestOf, viewBy } from "./context.js";
import type { LimiterStore } from "./declared-limit.js";
import type { Selection } from "./decorators.js";
import { selectionOf } from "./decorators.js";
import type { NestOptions } from "./options.js";

/** The pipeline behind the limits of a handler. */
export type NestLimiter = HttpRateLimiter<ExecutionContext>;

type NamedLimits = BySeveral<ExecutionContext>["limiters"];

/** The options of the module beside those of the HTTP pipeline. */
const OWN = ["default", "store", "requestOf"];

/** Finds the limits of handlers: the default ones, or those that decorators select. */
export class RouteLimits {
  readonly requestOf: RequestOf;
  readonly #view: RequestView<ExecutionContext>;
  readonly #options: HttpOptions<ExecutionContext>;
  /** The limits that have names. */
  readonly #named: NamedLimits;
  /** The key of the limits that decorators declare. */
  readonly #key: MemberOptions<ExecutionContext>["key"];
  readonly #store: LimiterStore | undefined;
  readonly #default: NestLimiter | undefined;
  readonly #selected = new WeakMap<Selection, NestLimiter>();

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: NestOptions) {
    const checked = checkedHttpOptions(options, OWN);
    const { limiter, limiters, key } = checked;
    const { default: names, store, requestOf: find = requestOf, ...http } = checked;
    if (store !== undefined) assertStore(store);
    assertOptionalFunction("requestOf", find);
    if (names !== undefined && (limiters === undefined || !Array.isArray(names))) {
      throw typeError("default", "a list of names of `limiters`", names);
    }
    this.requestOf = find;
    this.#view = viewBy(find);
    this.#options = http as HttpOptions<ExecutionContext>;
    this.#named = limiters ?? {};
    this.#key = key;
    this.#store = store;
    // Also if `default` names other limits, because it checks all of them.
    const all = limiter === undefined && limiters === undefined ? undefined : this.#make({});
    this.#default = names === undefined ? all : this.#select("default", names);
  }

  /**
   * Returns the limits of a handler; undefined if it has none.
   *
   * @param owner - the class of the method.
   * @throws RangeError if a decorator names a limit that the module does not have.
   */
  of(method: ReturnType<ExecutionContext["getHandler"]>, owner: object): NestLimiter | undefined {
    const selection = selectionOf(method, owner);
    if (selection === undefined) return this.#default;
    const known = this.#selected.get(selection);
    if (known !== undefined) return known;
    const limiter = this.#select("@RateLimit", selection);
    if (limiter !== undefined) this.#selected.set(selection, limiter);
    return limiter;
  }

  /** @param label - what selects the limits, for errors. */
  #select(label: string, selection: Selection): NestLimiter | undefined {
    if (selection.length === 0) return undefined;
    const members = selection.map((selected) =>
      typeof selected === "string"
        ? [selected, this.#member(label, selected)]
        : [selected.name, { limiter: selected.limiterIn(this.#store), key: selected.key ?? this.#key }],
    );
    const limiters = Object.fromEntries(members) as NamedLimits;
    return this.#make({ limiters, limiter: undefined, key: undefined, maxCalls: undefined, wait: undefined });
  }

  #member(label: string, name: string): MemberOptions<ExecutionContext> {
    const member = Object.hasOwn(this.#named, name) ? this.#named[name] : undefined;
    if (member !== undefined) return member;
    const names = Object.keys(this.#named).join(", ");
    throw rangeError(label, `one of the names of \`limiters\` (${names || "there are none"})`, name);
  }

  #make(limits: Partial<BySeveral<ExecutionContext>> & { readonly wait?: undefined }): NestLimiter {
    return new HttpRateLimiter({ ...this.#options, ...limits } as HttpOptions<ExecutionContext>, this.#view);
  }
}
