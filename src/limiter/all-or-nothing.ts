import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import { warn } from "../core/warn.js";
import type { Ask, Judgement, Store, Verdict } from "../store/store.js";
import type { Part } from "./part.js";

/** The parts of a call about several keys, by the names of their members. */
export type Asked = readonly (readonly [name: string, part: Part])[];

/** Judges all, then spends all, in one synchronous run. Whoever is to hear of it hears afterwards. */
export function atOnce(asked: Asked): Map<string, Decision> {
  const judged = new Map<Store, Judgement>();
  const verdicts = new Map<Ask, Verdict>();
  const note = (asks: readonly Ask[], answers: readonly Verdict[]): void => {
    for (const [at, ask] of asks.entries()) verdicts.set(ask, answers[at] as Verdict);
  };
  const asksOf = (store: Store): Ask[] =>
    asked.flatMap(([, part]) => (part.store === store && part.ask !== undefined ? [part.ask] : []));

  for (const store of new Set(asked.map(([, part]) => part.store))) {
    const asks = asksOf(store);
    const judgement = store.judge?.(asks);
    if (judgement === undefined) continue;
    judged.set(store, judgement);
    note(asks, judgement.verdicts);
  }
  const decide = ({ ask, decide }: Part): Decision => decide(ask === undefined ? undefined : verdicts.get(ask));
  const refused = asked.filter(([, part]) => !decide(part).allowed);
  if (refused.length === 0) for (const [store, judgement] of judged) note(asksOf(store), judgement.spend());

  const decisions = new Map(asked.map(([name, part]) => [name, decide(part)]));
  // Of a refused call only the refusals are told: what the others would have let through did not happen.
  for (const [name, part] of refused.length === 0 ? asked : refused) part.announce(decisions.get(name) as Decision);
  return decisions;
}

/** Asks one after another, and takes back what was spent when one refuses or fails. */
export async function inOrder(asked: Asked): Promise<Map<string, Decision>> {
  const decisions = new Map<string, Decision>();
  try {
    // The order of making, whatever the names: of two calls that share two keys one refuses the other, and not each other.
    for (const [name, part] of [...asked].sort(([, one], [, other]) => one.order - other.order)) {
      const { ask } = part;
      const verdict = ask === undefined ? undefined : await ask.space.check(ask.key, ask.limits, ask.cost);
      const decision = part.decide(verdict);
      part.announce(decision);
      decisions.set(name, decision);
      if (!decision.allowed) {
        await takeBack(decisions);
        break;
      }
    }
  } catch (error) {
    await takeBack(decisions);
    throw error;
  }
  return decisions;
}

async function takeBack(decisions: ReadonlyMap<string, Decision>): Promise<void> {
  const refunds = [...decisions.values()].map(async (decision) => receiptOf(decision)?.refund());
  for (const outcome of await Promise.allSettled(refunds)) {
    if (outcome.status === "rejected") warn("A refund failed; the call of another key stays counted", outcome.reason);
  }
}
