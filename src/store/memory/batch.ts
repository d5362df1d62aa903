import { StoreError } from "../../core/errors.js";
import { memberOf } from "../../core/validate.js";
import type { BatchItem, Namespace, SyncStoreResult } from "../store.js";
import type { EvictionPlan, KeyRef } from "./evictor.js";
import { NOWHERE } from "./key-table.js";
import type { MemoryNamespace, Shared } from "./memory-namespace.js";

/** Calls of several namespaces that are decided together. It is valid for the present synchronous run, and no longer. */
export interface BatchReservation {
  /** What `check` would return for each call, with room for all new keys together. */
  readonly results: readonly SyncStoreResult[];
  /** Records the calls that are admitted, all or none, and returns the results of all calls afterwards. */
  record(): readonly SyncStoreResult[];
}

interface Item extends Omit<BatchItem, "namespace"> {
  readonly namespace: MemoryNamespace;
  readonly place: number;
  readonly isAllowed: boolean;
}

/** What is planned in one store. */
interface StorePart {
  readonly evictor: Shared["evictor"];
  readonly size: number;
  readonly plan: EvictionPlan;
  readonly withoutRoom: readonly Item[];
}

/**
 * Decides calls of namespaces of memory stores, and records nothing yet.
 *
 * @returns undefined if a namespace is of another store.
 */
export function reserveBatch(calls: readonly BatchItem[]): BatchReservation | undefined {
  const items: Item[] = [];
  for (const { namespace, ...call } of calls) {
    if (!isInMemory(namespace)) return undefined;
    const place = namespace.find(call.key, call.limits);
    items.push({ ...call, namespace, place, isAllowed: namespace.allows(place, call.limits, call.cost) });
  }
  const parts = [...new Set(items.map(({ namespace }) => namespace.shared))].map((shared) => planned(shared, items));
  const waitForRoom = new Map(parts.flatMap(({ plan, withoutRoom }) => withoutRoom.map((item) => [item, plan.waitMs])));
  const results = items.map((item) => {
    const { namespace, place, limits, cost, isAllowed } = item;
    if (!isAllowed) namespace.noteRefusal(place, limits, cost);
    return namespace.result(place, limits, cost, waitForRoom.get(item) ?? 0);
  });
  const admitted = items.filter((item) => item.isAllowed && !waitForRoom.has(item));
  const record = (): readonly SyncStoreResult[] => {
    const isUnchanged =
      parts.every(({ evictor, plan, size }) => evictor.size === size && evictor.isCurrent(plan)) &&
      admitted.every(({ namespace, key, place, limits, cost }) => {
        return namespace.table.placeOf(key) === place && namespace.allows(place, limits, cost);
      });
    // The clocks of all stores were read, and a clock is foreign code.
    if (!isUnchanged) throw new StoreError("A clock called a limiter in the middle of a call about several keys");
    for (const { evictor, plan } of parts) evictor.carryOut(plan);
    const recorded = recordAll(admitted);
    return items.map((item, at) => recorded.get(item) ?? (results[at] as SyncStoreResult));
  };
  return { results, record };
}

/** By structure: it may be of another copy of this package. */
function isInMemory(namespace: Namespace): namespace is MemoryNamespace {
  return memberOf(namespace, "shared") !== undefined;
}

function planned(shared: Shared, all: readonly Item[]): StorePart {
  const { evictor, time } = shared;
  const items = all.filter(({ namespace }) => namespace.shared === shared);
  const known = items.filter(({ place }) => place !== NOWHERE).map(refOf);
  const newItems = items.filter(({ place, isAllowed }) => place === NOWHERE && isAllowed);
  const newTables = newItems.map(({ namespace }) => namespace.table);
  const plan = evictor.plan(newTables, time.now, known);
  const withoutRoom = newItems.slice(plan.places);
  if (withoutRoom.length > 0) evictor.moveOn(plan);
  return { evictor, size: evictor.size, plan, withoutRoom };
}

function recordAll(items: readonly Item[]): ReadonlyMap<Item, SyncStoreResult> {
  const recorded = new Map<Item, SyncStoreResult>();
  try {
    for (const item of items) {
      const { namespace, key, limits, cost } = item;
      // Not the place from before: forgetting other keys moves keys from place to place.
      recorded.set(item, namespace.record(namespace.table.placeOf(key), key, limits, cost));
    }
  } catch (error) {
    // There is no memory for one of them.
    for (const { receipt } of recorded.values()) receipt?.refund();
    throw error;
  }
  return recorded;
}

function refOf({ namespace, place }: Item): KeyRef {
  return { table: namespace.table, place };
}
