import { memberOf } from "../../core/validate.js";
import type { BatchItem, Namespace, SyncStoreResult } from "../store.js";
import type { EvictionPlan, Evictor, KeyRef } from "./evictor.js";
import { NOWHERE } from "./key-table.js";
import type { MemoryNamespace } from "./memory-namespace.js";

interface Item extends Omit<BatchItem, "namespace"> {
  readonly namespace: MemoryNamespace;
  readonly place: number;
  /** Whether the key was locked before the call. */
  readonly isLocked: boolean;
  /** By its limits, and because it is not locked. */
  readonly isAllowed: boolean;
}

/** What is planned in one store. */
interface StorePart {
  readonly evictor: Evictor;
  readonly plan: EvictionPlan;
  readonly withoutRoom: readonly Item[];
}

/**
 * Checks several keys of memory stores, all or nothing: if no call that may refuse is refused, each call that is admitted is
 * recorded, else none is, and no key is evicted.
 *
 * @returns the results in the order of the calls; undefined if a namespace is of another store.
 */
export function checkInMemory(calls: readonly BatchItem[]): readonly SyncStoreResult[] | undefined {
  const namespaces = calls.map(({ namespace }) => namespace);
  if (!namespaces.every(isInMemory)) return undefined;
  // A clock is foreign code. All are read first, and nothing but this function runs from here on.
  for (const time of new Set(namespaces.map((namespace) => namespace.time))) time.read();
  const items = calls.map((call, at): Item => {
    const namespace = namespaces[at] as MemoryNamespace;
    const place = namespace.find(call.key, call.limits);
    const isLocked = namespace.isLocked(call.key);
    const isAllowed = !isLocked && namespace.allows(place, call.limits, call.cost);
    return { ...call, namespace, place, isLocked, isAllowed };
  });
  const parts = [...new Set(namespaces.map(({ evictor }) => evictor))].map((evictor) => planned(evictor, items));
  const waitForRoom = new Map(parts.flatMap(({ plan, withoutRoom }) => withoutRoom.map((item) => [item, plan.waitMs])));
  const admitted = items.filter((item) => item.isAllowed && !waitForRoom.has(item));
  noteRefusals(items, admitted);
  const resultOf = (item: Item): SyncStoreResult => {
    const { namespace, place, key, limits, cost, isLocked } = item;
    return namespace.result(place, key, limits, cost, isLocked, waitForRoom.get(item));
  };
  if (items.some((item) => item.mayRefuse && !admitted.includes(item))) return items.map(resultOf);
  // Before any key is forgotten, because that moves keys from place to place.
  const unrecorded = new Map(items.filter((item) => !admitted.includes(item)).map((item) => [item, resultOf(item)]));
  for (const { evictor, plan } of parts) evictor.carryOut(plan);
  const recorded = recordAll(admitted);
  return items.map((item) => (recorded.get(item) ?? unrecorded.get(item)) as SyncStoreResult);
}

/** By structure: it may be of another copy of this package. */
function isInMemory(namespace: Namespace): namespace is MemoryNamespace {
  return memberOf(namespace, "evictor") !== undefined;
}

function planned(evictor: Evictor, all: readonly Item[]): StorePart {
  const items = all.filter(({ namespace }) => namespace.evictor === evictor);
  const known = items.filter(({ place }) => place !== NOWHERE).map(refOf);
  const newItems = items.filter(({ place, isAllowed }) => place === NOWHERE && isAllowed);
  const newTables = newItems.map(({ namespace }) => namespace.table);
  const plan = evictor.plan(newTables, (items[0] as Item).namespace.time.now, known);
  const withoutRoom = newItems.slice(plan.roomFor);
  if (withoutRoom.length > 0) evictor.moveOn(plan);
  return { evictor, plan, withoutRoom };
}

/** Notes the refusals by limits and locks. Only the first item that refuses the call may strike, and shadowed items before it. */
function noteRefusals(items: readonly Item[], admitted: readonly Item[]): void {
  let isAnyRefused = false;
  let isCallRefused = false;
  for (const item of items) {
    if (admitted.includes(item)) continue;
    const { namespace, place, key, limits, cost, isLocked, isAllowed, mayRefuse } = item;
    const mayStrike = !isLocked && !(mayRefuse ? isCallRefused : isAnyRefused);
    if (!isAllowed) namespace.noteRefusal(place, key, limits, cost, mayStrike);
    isAnyRefused = true;
    isCallRefused ||= mayRefuse;
  }
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
