import type { Script } from "./script.js";
import { CLOCK, SCRIPT_BODY } from "./script.js";

/**
 * Asks several keys: all are looked at, and if nobody who may refuse does, it is recorded in each that passes. By one reading
 * of the clock, so that what passes at first passes again.
 *
 * The words of each key: whether it may refuse, how many words follow, and those that {@link SCRIPT} would be given behind the
 * verb. Replied is whether the call passed, and behind it what `check` says of each, in one text.
 */
export const SCRIPT_OF_SEVERAL: Script = {
  text: `${CLOCK}
local function ask(KEYS, ARGV)
${SCRIPT_BODY}
end

local asks, passes, first = {}, true, 1
for at, key in ipairs(KEYS) do
  local words = { 'peek' }
  for word = 1, tonumber(ARGV[first + 1]) do words[word + 1] = ARGV[first + 1 + word] end
  local reply = ask({ key }, words)
  local is_refused = string.sub(reply, 1, 1) == '0'
  if is_refused and ARGV[first] == '1' then passes = false end
  asks[at] = { key = key, words = words, reply = reply, is_refused = is_refused }
  first = first + 1 + #words
end

local replies = { passes and '1' or '0' }
for at, asked in ipairs(asks) do
  if passes and not asked.is_refused then
    asked.words[1] = 'check'
    asked.reply = ask({ asked.key }, asked.words)
  end
  replies[at + 1] = asked.reply
end
return table.concat(replies, ' ')
`,
  sha1: "4edac20e53ae85f124db951a6b9af2f350614887",
};
