/** An `AbortSignal`, as far as waiting needs one: by structure, so that no runtime's types are asked for. */
export interface WaitSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** Who waits on a signal, and the one listener that stands for all of them. */
interface Watch {
  readonly runs: Set<() => void>;
  readonly listener: () => void;
}

const watches = new WeakMap<WaitSignal, Watch>();

/**
 * Runs `run` when the signal is aborted, unless the function it returns is called first.
 *
 * One listener for each signal, however many wait on it (Node warns of a leak from the eleventh on), and none when nobody
 * does any more.
 */
export function onAbort(signal: WaitSignal, run: () => void): () => void {
  const watch = watches.get(signal) ?? watched(signal);
  watch.runs.add(run);
  return () => {
    watch.runs.delete(run);
    if (watch.runs.size > 0) return;
    signal.removeEventListener("abort", watch.listener);
    watches.delete(signal);
  };
}

function watched(signal: WaitSignal): Watch {
  const runs = new Set<() => void>();
  const listener = (): void => {
    for (const run of [...runs]) run();
  };
  const watch = { runs, listener };
  watches.set(signal, watch);
  signal.addEventListener("abort", listener);
  return watch;
}
