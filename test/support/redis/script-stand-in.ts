/**
 * A client whose server replies to each call of a run of the script as `reply` does. Other commands are replied to with 1.
 *
 * @param reply - called with the method and the key of each call, in order.
 */
export function scriptStandIn(
  reply: (method: string, key: string) => string | number,
): (command: readonly string[]) => Promise<unknown> {
  return async ([command = "", , count = "0", ...rest]) => {
    if (!command.startsWith("EVAL")) return 1;
    const [keys, words] = [rest.slice(0, Number(count)), rest.slice(Number(count))];
    const replies: (string | number)[] = [];
    while (replies.length < keys.length) {
      if (words[0] === "locks") words.splice(0, 2 + Number(words[1]));
      const [method = "", size, length] = words;
      words.splice(0, 3 + Number(length));
      for (let at = 0; at < Number(size); at += 1) replies.push(reply(method, keys[replies.length] as string));
    }
    return replies.length === 1 ? replies[0] : replies.join("\n");
  };
}
