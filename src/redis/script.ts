import { MAX_MOVED } from "../store/store.js";

/**
 * The script of every method, which runs in one round trip and atomically: the counterpart of `core/sliding-window.ts` and
 * `store/memory/key-table.ts`. Change both together; the same model checks both.
 *
 * A key holds one string: a header, followed by a ring of timestamps of 6 bytes, whole milliseconds of the server's clock.
 *
 *     sg1 | capacity 4 | head 4 | count 4 | high 6 | longest 7 | epoch 7 | timestamps 6 each
 *
 * - `head` is the slot that is written next; the i-th most recent timestamp is in slot `(head - i) mod capacity`. Timestamps
 *   never decrease from the oldest to the newest.
 * - `high` is the latest time at which a call was recorded. Time never goes back before it (for example after a failover to a
 *   slower clock), and a refund does not change it. A timestamp that is more than the longest period ahead of the clock was
 *   made by a wrong clock and is ignored: it would lock the key for that long.
 * - `longest` is the longest period of any release that has used the key: timestamps are removed by that age alone, never by
 *   depth, so that releases with different limits can use one key.
 * - `epoch` distinguishes a log from a later log of the same key, which a late refund must not change.
 *
 * A log of up to 128 timestamps is read completely, and rewritten with only its unexpired timestamps, in order, in a full ring.
 * A longer log is read in pieces and written in place, so that the cost of a call does not depend on its depth. It grows by
 * being rewritten as well, because Redis doubles the memory of a string that is appended to.
 *
 * A refused call and a peek write nothing. All numbers are integers below 2^53. Several numbers are returned as one string,
 * because clients take two microseconds to parse a list of ten. A foreign value is reported by `error`, and not by
 * `redis.error_reply`, because it may be found in a nested function.
 */
export const SCRIPT_BODY: string = `
local key, op = KEYS[1], ARGV[1]
-- The bytes of the header and of a timestamp, and the timestamps of a small log.
local HEADER, TIMESTAMP, SMALL = 35, 6, 128
-- Earlier than the start of any period.
local NEVER = -2 ^ 52

local micros = tonumber(clock[2])
local time = clock[1] * 1000 + math.floor(micros / 1000)

local capacity, head, count, high, longest, epoch = 0, 0, 0, 0, 0, 0

local function foreign()
  error('SLUICEGATE the value of this key was not written by this version of sluicegate')
end

-- The header and the first slots: a small log is complete.
local beginning = redis.call('GETRANGE', key, 0, HEADER + SMALL * TIMESTAMP - 1)
if beginning ~= '' then
  if #beginning < HEADER or string.sub(beginning, 1, 3) ~= 'sg1' then foreign() end
  capacity, head, count, high, longest, epoch = struct.unpack('>I4I4I4I6I7I7', beginning, 4)
  if count > capacity or head >= capacity or #beginning < HEADER + math.min(capacity, SMALL) * TIMESTAMP then foreign() end
  if longest >= 2 ^ 53 or epoch >= 2 ^ 53 then foreign() end
end

-- A further piece of a deep log, as long as the first: a binary search ends within it.
local piece, piece_start = '', 0

local function at(i)
  local start = HEADER + (head - i) % capacity * TIMESTAMP
  if start + TIMESTAMP <= #beginning then return (struct.unpack('>I6', beginning, start + 1)) end
  if start < piece_start or start + TIMESTAMP > piece_start + #piece then
    piece_start = start - (start - HEADER) % (SMALL * TIMESTAMP)
    piece = redis.call('GETRANGE', key, piece_start, piece_start + SMALL * TIMESTAMP - 1)
    if start + TIMESTAMP > piece_start + #piece then foreign() end
  end
  return (struct.unpack('>I6', piece, start - piece_start + 1))
end

-- The number of timestamps later than an instant: they are the most recent ones.
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

-- Milliseconds until a call would pass: 0 if it passes now, -1 if it can never pass.
local function wait(max_calls, period, units)
  if units > max_calls then return -1 end
  local i = max_calls - units + 1
  if i > count then return 0 end
  local free = at(i) + period
  if free <= now then return 0 end
  return free - time
end

local passes = op ~= 'refund'
for layer = 4, passes and #ARGV or 0, 2 do
  local again = wait(tonumber(ARGV[layer]), tonumber(ARGV[layer + 1]), cost)
  if again ~= 0 then
    -- Refusals are frequent, so they return before the other functions are created. Negative, unlike an admission.
    if op == 'admit' then return math.min(0, -again) end
    passes = false
    break
  end
end

if op == 'test' then
  -- A damaged log must be found before anything is recorded in any key.
  if capacity > SMALL and redis.call('STRLEN', key) < HEADER + capacity * TIMESTAMP then foreign() end
  return passes
end

local function read(start, length)
  if start + length <= #beginning then return string.sub(beginning, start + 1, start + length) end
  local block = redis.call('GETRANGE', key, start, start + length - 1)
  if #block < length then foreign() end
  return block
end

local function slots(first, amount)
  local contiguous = math.min(amount, capacity - first)
  local block = read(HEADER + first * TIMESTAMP, contiguous * TIMESTAMP)
  if contiguous == amount then return block end
  return block .. read(HEADER, (amount - contiguous) * TIMESTAMP)
end

local function timestamps()
  if count == 0 then return '' end
  return slots((head - count) % capacity, count)
end

local function write(first, block)
  local contiguous = math.min(#block, (capacity - first) * TIMESTAMP)
  redis.call('SETRANGE', key, HEADER + first * TIMESTAMP, string.sub(block, 1, contiguous))
  if contiguous < #block then redis.call('SETRANGE', key, HEADER, string.sub(block, contiguous + 1)) end
end

local function header()
  return 'sg1' .. struct.pack('>I4I4I4I6I7I7', capacity, head, count, high, longest, epoch)
end

if op == 'refund' then
  local timestamp = tonumber(ARGV[4])
  if string.format('%.0f', epoch) ~= ARGV[3] or timestamp <= now - longest then return 0 end
  local newer = countAfter(timestamp)
  if newer > ${MAX_MOVED} then return 0 end
  local taken = math.min(countAfter(timestamp - 1) - newer, tonumber(ARGV[5]))
  if taken <= 0 then return 0 end
  if newer > 0 then write((head - newer - taken) % capacity, slots((head - newer) % capacity, newer)) end
  head, count = (head - taken) % capacity, count - taken
  redis.call('SETRANGE', key, 0, header())
  return taken
end

local timestamp
if passes and op ~= 'peek' then
  timestamp = now
  if micros % 1000 > 0 or now > time then timestamp = now + 1 end
  if count > 0 then timestamp = math.max(timestamp, at(1)) end
  high = now
  if epoch == 0 then epoch = clock[1] * 1000000 + micros end
  local ttl = timestamp + longest - time
  local expired = now - longest
  local block = string.rep(struct.pack('>I6', timestamp), cost)
  local excess = count + cost - capacity
  if count <= SMALL then
    count = countAfter(expired)
  elseif excess > 0 and excess <= count and at(count - excess + 1) <= expired then
    count = count - excess
  end
  if count + cost <= SMALL then
    local kept = timestamps()
    count = count + cost
    capacity, head = count, 0
    beginning = header() .. kept .. block
    redis.call('SET', key, beginning, 'PX', ttl)
  elseif count + cost <= capacity then
    local first = head
    head, count = (head + cost) % capacity, count + cost
    -- First, because the user may lack the permission: then nothing has been recorded.
    redis.call('PEXPIRE', key, ttl)
    write(first, block)
    redis.call('SETRANGE', key, 0, header())
    -- The pieces that were read are still valid, except for the slots just written.
    piece = ''
    if first < SMALL or first + cost > capacity then beginning = '' end
  else
    count = countAfter(expired)
    local kept = timestamps()
    count = count + cost
    local deepest = 0
    for layer = 4, #ARGV, 2 do deepest = math.max(deepest, tonumber(ARGV[layer])) end
    -- More than the limits of this call need: another release has a longer period, and its timestamps are kept.
    if count > deepest then deepest = count + math.floor(count / 4) end
    capacity = math.min(deepest, math.max(2 * capacity, count))
    head = count % capacity
    redis.call('SET', key, header() .. kept .. block .. string.rep('\\0', (capacity - count) * TIMESTAMP), 'PX', ttl)
    beginning, piece = '', ''
  end
end

if op == 'admit' then return 1 end

local newest = count > 0 and (timestamp or at(1)) - time or NEVER
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

/** A script: its text, and the SHA-1 of that in hexadecimal for `EVALSHA`, since edge workers have no `node:crypto`. */
export interface Script {
  readonly text: string;
  readonly sha1: string;
}

/** Precedes the body, once, even if the body runs for several keys. */
export const CLOCK = "local clock = redis.call('TIME')\n";

/** Runs on one key. */
export const SCRIPT: Script = {
  text: CLOCK + SCRIPT_BODY,
  sha1: "37aa9a11854947eb7f305c11cc091c92915b5982",
};

/**
 * Runs on several keys: all are tested, and if no key that may refuse the call does, the call is recorded in each key that
 * passes. The clock is read once, so that a key that passes when it is tested passes when it is recorded.
 *
 * The arguments of each key: whether it may refuse, the number of arguments that follow, and those that {@link SCRIPT} takes
 * after the operation. Returns whether the call passed, followed by the reply of `check` for each key, as one string.
 */
export const SCRIPT_OF_SEVERAL: Script = {
  text: `${CLOCK}
local function run(KEYS, ARGV)
${SCRIPT_BODY}
end

local calls, passes, first = {}, true, 1
for at, key in ipairs(KEYS) do
  local args = { 'test' }
  for i = 1, tonumber(ARGV[first + 1]) do args[i + 1] = ARGV[first + 1 + i] end
  local key_passes = run({ key }, args)
  if not key_passes and ARGV[first] == '1' then passes = false end
  calls[at] = { key = key, args = args, passes = key_passes }
  first = first + 1 + #args
end

local replies = { passes and '1' or '0' }
for at, call in ipairs(calls) do
  call.args[1] = passes and call.passes and 'check' or 'peek'
  replies[at + 1] = run({ call.key }, call.args)
end
return table.concat(replies, ' ')
`,
  sha1: "7d354438bfa0eec4e4785cc7e6965dbdf933c3e4",
};
