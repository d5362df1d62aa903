interface Host {
  process?: { emitWarning?(warning: string, options: { type: string; detail: string }): void };
  console?: { warn(...values: unknown[]): void };
}

/**
 * Tells of a failure that must change nothing, a broken metric for one: as a process warning of the type
 * `SluicegateWarning`, or on the console where there is no process.
 */
export function warn(message: string, error: unknown): void {
  const detail = detailOf(error);
  const { process, console } = globalThis as Host;
  if (typeof process?.emitWarning === "function") process.emitWarning(message, { type: "SluicegateWarning", detail });
  else console?.warn(`SluicegateWarning: ${message}`, detail);
}

/** Whatever was thrown, in words: even what has no `toString`, or a `stack` that throws. */
function detailOf(error: unknown): string {
  try {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } catch {
    return typeof error;
  }
}
