// The loops that are timed. Import this once for each limiter, under a name of its own (`loop.mjs?hono`): what the compiler
// learns of one must not be what it knows of the other.

/** @returns how many were admitted. */
export async function awaited({ ask, admits }, keys, from, calls) {
  let allowed = 0;
  let at = from;
  for (let call = 0; call < calls; call += 1) {
    try {
      if (admits(await ask(keys[at]))) allowed += 1;
    } catch (refusal) {
      if (refusal instanceof Error) throw refusal;
    }
    at += 1;
    if (at === keys.length) at = 0;
  }
  return allowed;
}

export function sync({ askSync }, keys, from, calls) {
  let allowed = 0;
  let at = from;
  for (let call = 0; call < calls; call += 1) {
    if (askSync(keys[at])) allowed += 1;
    at += 1;
    if (at === keys.length) at = 0;
  }
  return allowed;
}
