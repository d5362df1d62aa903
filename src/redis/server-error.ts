// By the beginning of a message and nothing else: several clients append the command, and with it a key that a user chose.

const NO_SCRIPT = /^(?:(?:\w*Error|An error was signalled by the server)[: -]+)*(?:NOSCRIPT|NoScriptError)\b/;

/** What goes before an error within the script, in Redis 6 and in 7. */
const IN_SCRIPT = String.raw`^(?:\w*Error: )*(?:ERR )?(?:Error running script \(call to \w+\): )?(?:@?user_script:\d+: )*`;
const FOREIGN = new RegExp(String.raw`${IN_SCRIPT}(?:SLUICEGATE|WRONGTYPE)\b`);
const NO_MEMORY = new RegExp(String.raw`${IN_SCRIPT}-?OOM\b`);

/** Whether the server does not know the script: it was restarted, flushed or promoted, and nothing has run. */
export function isMissingScript(error: unknown): boolean {
  return NO_SCRIPT.test(messageOf(error));
}

/** Whether the value of a key is somebody else's: the server answered, and nobody can tell what was admitted. */
export function isForeignValue(error: unknown): boolean {
  return FOREIGN.test(messageOf(error));
}

/** Whether the server has no memory to record a call: it answers all the same, and refuses what needs none to be refused. */
export function isOutOfMemory(error: unknown): boolean {
  return NO_MEMORY.test(messageOf(error));
}

function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return "";
  }
}
