import { MAX_MOVED } from "../store/store.js";

/**
 * What Redis runs for every verb, in one round trip and atomically: the twin of `core/sliding-window.ts` and
 * `store/memory/key-table.ts`. Whoever changes the one changes the other; the same oracle checks both.
 *
 * A key holds one string: a header, and behind it a ring of stamps of 6 bytes, whole milliseconds of the server's clock.
 *
 *     sg1 | capacity 4 | head 4 | count 4 | high 6 | longest 7 | epoch 7 | stamps 6 each
 *
 * - `head` is the slot that is written next; the i-th most recent stamp is in slot `(head - i) mod capacity`. Stamps never
 *   decrease from the oldest to the newest.
 * - `high` is the latest time at which anything was ever recorded. Time never goes back behind it (a failover to a slower
 *   clock, say), and a refund leaves it alone. A stamp that is more than the longest period ahead of the clock was made by a
 *   clock that was wrong, and is taken for none: it would lock a key for as long as that was.
 * - `longest` is the longest period that any release has asked with: a log is cut by that age alone, never by depth, so that
 *   releases with different limits may work side by side.
 * - `epoch` tells a log from a later one of the same key, which a late refund must not touch.
 *
 * A log of up to 128 stamps is read whole, and written anew as just its live stamps, in order, in a ring that is full. A
 * longer one is read in pieces and written in place, so that a call costs the same however deep the log is. It grows by being
 * written anew as well, because Redis would double what is appended to.
 *
 * A refused call and a peek write nothing. All numbers are integers below 2^53. What is more than one number is replied as one
 * text, because clients take two microseconds for a list of ten. `error` and not `redis.error_reply` tells of a value that
 * is not ours, because that may be found out anywhere.
 */
export const SCRIPT_BODY: string = `
local key, op = KEYS[1], ARGV[1]
local HEADER, STAMP, SMALL = 35, 6, 128
-- Before any period began.
local NEVER = -2 ^ 52

local micros = tonumber(clock[2])
local time = clock[1] * 1000 + math.floor(micros / 1000)

local capacity, head, count, high, longest, epoch = 0, 0, 0, 0, 0, 0

local function foreign()
  error('SLUICEGATE the value of this key was not written by this version of sluicegate')
end

-- The header and the first slots: the whole of a small log.
local found = redis.call('GETRANGE', key, 0, HEADER + SMALL * STAMP - 1)
if found ~= '' then
  if #found < HEADER or string.sub(found, 1, 3) ~= 'sg1' then foreign() end
  capacity, head, count, high, longest, epoch = struct.unpack('>I4I4I4I6I7I7', found, 4)
  if count > capacity or head >= capacity or #found < HEADER + math.min(capacity, SMALL) * STAMP then foreign() end
  if longest >= 2 ^ 53 or epoch >= 2 ^ 53 then foreign() end
end

-- A further piece of a deep log, as long as the first: a search that comes near ends within it.
local piece, piece_start = '', 0

local function at(i)
  local start = HEADER + (head - i) % capacity * STAMP
  if start + STAMP <= #found then return (struct.unpack('>I6', found, start + 1)) end
  if start < piece_start or start + STAMP > piece_start + #piece then
    piece_start = start - (start - HEADER) % (SMALL * STAMP)
    piece = redis.call('GETRANGE', key, piece_start, piece_start + SMALL * STAMP - 1)
    if start + STAMP > piece_start + #piece then foreign() end
  end
  return (struct.unpack('>I6', piece, start - piece_start + 1))
end

-- How many stamps are later than an instant: they are the most recent ones.
local function countAfter(instant)
  if count == 0 or at(count) > instant then return count end
  local later, not_later = 0, count
  while not_later - later > 1 do
    local middle = math.floor((later + not_later) / 2)
    if at(middle) > instant then later = middle else not_later = middle end
  end
  return later
end

longest = math.max(longest, tonumber(ARGV[2]))
if high > time + longest then
  local wrong = countAfter(time + longest)
  count = count - wrong
  if capacity > 0 then head = (head - wrong) % capacity end
  high = 0
end
local now = math.max(time, high)

if op == 'state' then
  local since = now - tonumber(ARGV[2])
  return string.format('%d %.0f', countAfter(since), since)
end

local cost = tonumber(ARGV[3])

-- Milliseconds of the clock until a call would pass: 0 when it does, -1 when it never can.
local function wait(max_calls, period, spend)
  if spend > max_calls then return -1 end
  local i = max_calls - spend + 1
  if i > count then return 0 end
  local free = at(i) + period
  if free <= now then return 0 end
  return free - time
end

local passes = op ~= 'refund'
for layer = 4, passes and #ARGV or 0, 2 do
  local again = wait(tonumber(ARGV[layer]), tonumber(ARGV[layer + 1]), cost)
  if again ~= 0 then
    -- Refused, and often so: before the rest of the functions is even made. Negative, to tell it from an admission.
    if op == 'admit' then return math.min(0, -again) end
    passes = false
    break
  end
end

if op == 'judge' then
  -- What is damaged must be found before anything is recorded anywhere.
  if capacity > SMALL and redis.call('STRLEN', key) < HEADER + capacity * STAMP then foreign() end
  return passes
end

local function read(start, length)
  if start + length <= #found then return string.sub(found, start + 1, start + length) end
  local block = redis.call('GETRANGE', key, start, start + length - 1)
  if #block < length then foreign() end
  return block
end

local function slots(first, amount)
  local contiguous = math.min(amount, capacity - first)
  local block = read(HEADER + first * STAMP, contiguous * STAMP)
  if contiguous == amount then return block end
  return block .. read(HEADER, (amount - contiguous) * STAMP)
end

local function stamps()
  if count == 0 then return '' end
  return slots((head - count) % capacity, count)
end

local function write(first, block)
  local contiguous = math.min(#block, (capacity - first) * STAMP)
  redis.call('SETRANGE', key, HEADER + first * STAMP, string.sub(block, 1, contiguous))
  if contiguous < #block then redis.call('SETRANGE', key, HEADER, string.sub(block, contiguous + 1)) end
end

local function header()
  return 'sg1' .. struct.pack('>I4I4I4I6I7I7', capacity, head, count, high, longest, epoch)
end

if op == 'refund' then
  local stamp = tonumber(ARGV[4])
  if string.format('%.0f', epoch) ~= ARGV[3] or stamp <= now - longest then return 0 end
  local newer = countAfter(stamp)
  if newer > ${MAX_MOVED} then return 0 end
  local taken = math.min(countAfter(stamp - 1) - newer, tonumber(ARGV[5]))
  if taken <= 0 then return 0 end
  if newer > 0 then write((head - newer - taken) % capacity, slots((head - newer) % capacity, newer)) end
  head, count = (head - taken) % capacity, count - taken
  redis.call('SETRANGE', key, 0, header())
  return taken
end

local stamp
if passes and op ~= 'peek' then
  stamp = now
  if micros % 1000 > 0 or now > time then stamp = now + 1 end
  if count > 0 then stamp = math.max(stamp, at(1)) end
  high = now
  if epoch == 0 then epoch = clock[1] * 1000000 + micros end
  local ttl = stamp + longest - time
  local dead = now - longest
  local block = string.rep(struct.pack('>I6', stamp), cost)
  local excess = count + cost - capacity
  if count <= SMALL then
    count = countAfter(dead)
  elseif excess > 0 and excess <= count and at(count - excess + 1) <= dead then
    count = count - excess
  end
  if count + cost <= SMALL then
    local kept = stamps()
    count = count + cost
    capacity, head = count, 0
    found = header() .. kept .. block
    redis.call('SET', key, found, 'PX', ttl)
  elseif count + cost <= capacity then
    local first = head
    head, count = (head + cost) % capacity, count + cost
    -- First, because it may not be permitted: nothing has been recorded then.
    redis.call('PEXPIRE', key, ttl)
    write(first, block)
    redis.call('SETRANGE', key, 0, header())
    -- What was read is still so, but for the slots just written.
    piece = ''
    if first < SMALL or first + cost > capacity then found = '' end
  else
    count = countAfter(dead)
    local kept = stamps()
    count = count + cost
    local deepest = 0
    for layer = 4, #ARGV, 2 do deepest = math.max(deepest, tonumber(ARGV[layer])) end
    -- More than any limit of this call asks for: another release has a longer period, and its stamps stay.
    if count > deepest then deepest = count + math.floor(count / 4) end
    capacity = math.min(deepest, math.max(2 * capacity, count))
    head = count % capacity
    redis.call('SET', key, header() .. kept .. block .. string.rep('\\0', (capacity - count) * STAMP), 'PX', ttl)
    found, piece = '', ''
  end
end

if op == 'admit' then return 1 end

local newest = count > 0 and (stamp or at(1)) - time or NEVER
local reply = string.format('%d %.0f %.0f %.0f', passes and 1 or 0, epoch, time, newest)
for layer = 4, #ARGV, 2 do
  local max_calls, period = tonumber(ARGV[layer]), tonumber(ARGV[layer + 1])
  local used = countAfter(now - period)
  local again = passes and 0 or wait(max_calls, period, cost)
  local more = wait(max_calls, period, math.max(0, max_calls - used) + 1)
  reply = string.format('%s %d %.0f %.0f', reply, used, again, more)
end
return reply
`;

/** What Redis is sent: the text, and its SHA-1 in hexadecimal as `EVALSHA` wants it, since edge workers have no `node:crypto`. */
export interface Script {
  readonly text: string;
  readonly sha1: string;
}

/** Goes before the body, once, however often that is run. */
export const CLOCK = "local clock = redis.call('TIME')\n";

/** Asks one key. */
export const SCRIPT: Script = {
  text: CLOCK + SCRIPT_BODY,
  sha1: "a396c21020266ae2f1bce2a82a652a859d4a255d",
};

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
