// Only the beginning of a message is matched: several clients append the command, and with it a key that a user chose.

/** The prefix that a client adds to a server error: none in ioredis and others, a few words in valkey-glide and upstash. */
const FROM_SERVER = String.raw`^(?:(?:\w*Error|An error was signalled by the server|Command failed)[: -]+)*`;
/** The prefix of an error inside a script, in Redis 6 and in 7. */
const IN_SCRIPT = String.raw`(?:ERR )?(?:Error running script \(call to \w+\): )?(?:@?user_script:\d+: )*`;

const NO_SCRIPT = starting("NOSCRIPT|NoScriptError");
const CROSS_SLOT = starting("CROSSSLOT|CrossSlot");
const TRY_AGAIN = starting("TRYAGAIN|TryAgain");
const REDIRECT = starting("MOVED|Moved|ASK|Ask");
const FOREIGN = starting(`${IN_SCRIPT}(?:SLUICEGATE|WRONGTYPE)`);
const NO_PERMISSION = starting(
  `${IN_SCRIPT}(?:NOPERM|The user executing the script can't run this command|ACL failure in script)`,
);
const NO_WRITES = starting(`${IN_SCRIPT}-?(?:OOM|NOREPLICAS|READONLY|MISCONF)`);

function starting(error: string): RegExp {
  return new RegExp(`${FROM_SERVER}(?:${error})\\b`);
}

/** Whether the server does not know the script: it was restarted, flushed or promoted, and nothing has run. */
export function isMissingScript(error: unknown): boolean {
  return NO_SCRIPT.test(messageOf(error));
}

/** Whether the value of a key was not written by this library, so that it does not show which calls were admitted. */
export function isForeignValue(error: unknown): boolean {
  return FOREIGN.test(messageOf(error));
}

/**
 * Whether the server refuses to record a call: it is out of memory, has too few replicas, is a replica itself, or cannot save.
 * It replies at once, and still refuses calls of keys at their limit, because a refusal writes nothing.
 */
export function isWriteRefused(error: unknown): boolean {
  return NO_WRITES.test(messageOf(error));
}

/** Whether the user of the client lacks a permission: for a command, for one within the script, or for a key. */
export function isNotPermitted(error: unknown): boolean {
  return NO_PERMISSION.test(messageOf(error));
}

/** Whether the keys of a command are in different slots of a cluster, so that nothing has run. */
export function isCrossSlot(error: unknown): boolean {
  return CROSS_SLOT.test(messageOf(error));
}

/** Whether the keys of a command are on two servers at present, because their slot is being moved; nothing has run. */
export function isUnsettled(error: unknown): boolean {
  return TRY_AGAIN.test(messageOf(error));
}

/** Whether another server of a cluster has the key, permanently or at present, so that nothing has run. */
export function isRedirect(error: unknown): boolean {
  return REDIRECT.test(messageOf(error));
}

function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return "";
  }
}
