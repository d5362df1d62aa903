import type { Script } from "./script.js";
import { CLOCK, SCRIPT_BODY } from "./script.js";

/**
 * Asks several keys: all are judged, and if none that may refuse does, it is recorded in each that passes. By one reading
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
  local words = { 'judge' }
  for word = 1, tonumber(ARGV[first + 1]) do words[word + 1] = ARGV[first + 1 + word] end
  local its_passes = ask({ key }, words)
  if not its_passes and ARGV[first] == '1' then passes = false end
  asks[at] = { key = key, words = words, passes = its_passes }
  first = first + 1 + #words
end

local replies = { passes and '1' or '0' }
for at, asked in ipairs(asks) do
  asked.words[1] = passes and asked.passes and 'check' or 'peek'
  replies[at + 1] = ask({ asked.key }, asked.words)
end
return table.concat(replies, ' ')
`,
  sha1: "cc75147e79bf61be79aa89552766a5f484e445bf",
};
