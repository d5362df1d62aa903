import { type AsyncNamespace, type AsyncStore, MemoryStore, type SyncNamespace } from "../../src/index.js";

/** Makes a promise of what the memory decides: it decides when `decide` is called. */
export type Later = <R>(decide: () => R) => Promise<R>;

export interface AsyncStoreOptions {
  /** Where the logs are. By default a store of its own. */
  readonly memory?: MemoryStore;
  /** How decisions become promises. By default they are made at once. */
  readonly later?: Later;
  /** Methods that replace those of each namespace. */
  readonly replace?: (space: SyncNamespace) => Partial<AsyncNamespace>;
}

/** An asynchronous store that keeps its logs in memory, for the behaviour of limiters over a store that is elsewhere. */
export function asyncStore({
  memory = new MemoryStore(),
  later = async (decide) => decide(),
  replace = () => ({}),
}: AsyncStoreOptions = {}): AsyncStore {
  return {
    synchronous: false,
    clock: memory.clock,
    open: (name, periodsMs, locks) => {
      const space = memory.open(name, periodsMs, locks);
      return {
        admit: (...call) => later(() => space.admit(...call)),
        check: (...call) => later(() => space.check(...call)),
        peek: (...call) => later(() => space.peek(...call)),
        reset: (...call) => later(() => space.reset(...call)),
        state: (...call) => later(() => space.state(...call)),
        lock: (...call) => later(() => space.lock?.(...call)),
        unlock: (...call) => later(() => space.unlock?.(...call) === true),
        close: () => space.close(),
        ...replace(space),
      };
    },
  };
}
