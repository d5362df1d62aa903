// The loops that are timed. Import this module once for each limiter, with a different query (`loop.mjs?hono`), so that V8
// optimizes the loops of each limiter separately.

/** @returns the number of allowed calls. */
export async function awaited({ check, admits }, keys, from, calls) {
  let allowed = 0;
  let at = from;
  for (let call = 0; call < calls; call += 1) {
    try {
      if (admits(await check(keys[at]))) allowed += 1;
    } catch (refusal) {
      if (refusal instanceof Error) throw refusal;
    }
    at += 1;
    if (at === keys.length) at = 0;
  }
  return allowed;
}

export function sync({ checkSync }, keys, from, calls) {
  let allowed = 0;
  let at = from;
  for (let call = 0; call < calls; call += 1) {
    if (checkSync(keys[at])) allowed += 1;
    at += 1;
    if (at === keys.length) at = 0;
  }
  return allowed;
}
