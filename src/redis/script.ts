import { MAX_MOVED } from "../store/store.js";

/** The bytes of the header and of a timestamp, and the timestamps of a small log. */
const [HEADER, TIMESTAMP, SMALL] = [35, 6, 128];

/** The numbers of the header, after its first three bytes. */
const NUMBERS = ">I4I4I4I6I7I7";

/** Earlier than the start of any period. */
const NEVER = "-2 ^ 52";

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
 * One run executes any number of calls, each alone, in their order; the clock is read once. The arguments are groups of calls
 * that differ in their key only, so that a group of a hundred calls has no more arguments than one call:
 *
 *     method, number of keys, number of words, words
 *
 * The words of `admit`, `check` and `peek` are the longest period, the cost, and the depth and period of each limit; those of
 * `state` the longest period; those of `refund` that, epoch, timestamp and cost. The group `all` has a number of members and no
 * words; each member follows as a group of one key, whose method is `must` if its refusal refuses the whole call, and else `may`.
 *
 * The replies are separated by newlines. The numbers in a reply are separated by spaces, because clients take two microseconds
 * to parse a list of ten. A call that fails replies `!` and its error, and fails alone; an error of the only call is thrown.
 *
 * A refused call and a peek write nothing. All numbers are integers below 2^53. A foreign value is reported by `error`, and not
 * by `redis.error_reply`, because it may be found in a nested function.
 */
const TEXT = `
local call, unpack, pack, sub, format = redis.call, struct.unpack, struct.pack, string.sub, string.format

local clock = call('TIME')
local micros = tonumber(clock[2])
local time = clock[1] * 1000 + math.floor(micros / 1000)
local ceiling = micros % 1000 > 0 and time + 1 or time
local new_epoch = clock[1] * 1000000 + micros

-- The commonest calls: 'admit', 'check' and 'peek' of cost 1, on a new or small log, by a clock that has not gone back. Returns
-- nil for any other call. It creates no functions, and does what 'general' does.
local function fast(op, key, value, words)
  local count, longest, epoch = 0, words[1], 0
  local size = #value
  if size > 0 then
    if size <= ${HEADER} or sub(value, 1, 3) ~= 'sg1' then return end
    local capacity, head, high, known
    capacity, head, count, high, known, epoch = unpack('${NUMBERS}', value, 4)
    -- A small log that was refunded is not in order.
    if head ~= 0 or capacity ~= count or size ~= ${HEADER} + count * ${TIMESTAMP} or count == ${SMALL} then return end
    if high > time or known >= 2 ^ 53 or epoch >= 2 ^ 53 then return end
    if known > longest then longest = known end
  end
  -- The position after the oldest timestamp, less the position of the i-th most recent one, is ${TIMESTAMP} * i.
  local behind = size + 1

  local passes = true
  for layer = 3, #words, 2 do
    local max_calls = words[layer]
    if max_calls < 1 then
      if op == 'admit' then return '0' end
      passes = false
      break
    end
    if max_calls <= count then
      local free = unpack('>I6', value, behind - max_calls * ${TIMESTAMP}) + words[layer + 1]
      if free > time then
        -- Negative, unlike an admission.
        if op == 'admit' then return format('%.0f', time - free) end
        passes = false
        break
      end
    end
  end

  local newest = ${NEVER}
  if count > 0 then newest = unpack('>I6', value, behind - ${TIMESTAMP}) end
  if passes and op ~= 'peek' then
    if newest < ceiling then newest = ceiling end
    if epoch == 0 then epoch = new_epoch end
    local kept, expired = ${HEADER} + 1, time - longest
    while kept < size and unpack('>I6', value, kept) <= expired do kept = kept + ${TIMESTAMP} end
    count = (behind - kept) / ${TIMESTAMP} + 1
    if size == 0 then count = 1 end
    value = 'sg1' .. pack('${NUMBERS}', count, 0, count, time, longest, epoch) .. sub(value, kept) .. pack('>I6', newest)
    call('SET', key, value, 'PX', newest + longest - time)
    if op == 'admit' then return '1' end
    behind = #value + 1
  end

  local reply = format('%d %.0f %.0f %.0f', passes and 1 or 0, epoch, time, count > 0 and newest - time or ${NEVER})
  for layer = 3, #words, 2 do
    local max_calls, period = words[layer], words[layer + 1]
    local used, since = count, time - period
    if count > 0 and unpack('>I6', value, ${HEADER} + 1) <= since then
      local later = 0
      while used - later > 1 do
        local middle = math.floor((later + used) / 2)
        if unpack('>I6', value, behind - middle * ${TIMESTAMP}) > since then later = middle else used = middle end
      end
      used = later
    end
    local again, more, i = 0, -1, math.min(used, max_calls)
    if i > 0 then more = unpack('>I6', value, behind - i * ${TIMESTAMP}) + period - time end
    -- The call that needs a free place needs the same as the next one that is not free.
    if not passes and used >= max_calls then again = more end
    reply = format('%s %d %.0f %.0f', reply, used, again, more)
  end
  return reply
end

local FOREIGN = 'SLUICEGATE the value of this key was not written by this version of sluicegate'

-- Returns the function for every call. Its functions are created once, when a call needs them.
local function create_general()
  local key, words
  local capacity, head, count, high, longest, epoch, now
  -- The header and the first slots: a small log is complete.
  local beginning
  -- A further piece of a deep log, as long as the first: a binary search ends within it.
  local piece, piece_start

  local function at(i)
    local start = ${HEADER} + (head - i) % capacity * ${TIMESTAMP}
    if start + ${TIMESTAMP} <= #beginning then return (unpack('>I6', beginning, start + 1)) end
    if start < piece_start or start + ${TIMESTAMP} > piece_start + #piece then
      piece_start = start - (start - ${HEADER}) % (${SMALL} * ${TIMESTAMP})
      piece = call('GETRANGE', key, piece_start, piece_start + ${SMALL} * ${TIMESTAMP} - 1)
      if start + ${TIMESTAMP} > piece_start + #piece then error(FOREIGN) end
    end
    return (unpack('>I6', piece, start - piece_start + 1))
  end

  -- The number of timestamps later than an instant: they are the most recent ones.
  local function count_after(instant)
    if count == 0 or at(count) > instant then return count end
    local later, not_later = 0, count
    while not_later - later > 1 do
      local middle = math.floor((later + not_later) / 2)
      if at(middle) > instant then later = middle else not_later = middle end
    end
    return later
  end

  -- Milliseconds until a call would pass: 0 if it passes now, -1 if it can never pass.
  local function wait(max_calls, period, units)
    if units > max_calls then return -1 end
    local i = max_calls - units + 1
    if i > count then return 0 end
    local free = at(i) + period
    if free <= now then return 0 end
    return free - time
  end

  local function load(value)
    capacity, head, count, high, longest, epoch = 0, 0, 0, 0, 0, 0
    beginning, piece, piece_start = value, '', 0
    if value ~= '' then
      if #value < ${HEADER} or sub(value, 1, 3) ~= 'sg1' then error(FOREIGN) end
      capacity, head, count, high, longest, epoch = unpack('${NUMBERS}', value, 4)
      if count > capacity or head >= capacity or #value < ${HEADER} + math.min(capacity, ${SMALL}) * ${TIMESTAMP} then error(FOREIGN) end
      if longest >= 2 ^ 53 or epoch >= 2 ^ 53 then error(FOREIGN) end
    end
    longest = math.max(longest, words[1])
    if high > time + longest then
      local wrong = count_after(time + longest)
      count = count - wrong
      if capacity > 0 then head = (head - wrong) % capacity end
      high = 0
    end
    now = math.max(time, high)
  end

  local refund, record
  -- A refused call does not need these.
  local function create_writers()
    local function read(start, length)
      if start + length <= #beginning then return sub(beginning, start + 1, start + length) end
      local block = call('GETRANGE', key, start, start + length - 1)
      if #block < length then error(FOREIGN) end
      return block
    end

    local function slots(first, amount)
      local contiguous = math.min(amount, capacity - first)
      local block = read(${HEADER} + first * ${TIMESTAMP}, contiguous * ${TIMESTAMP})
      if contiguous == amount then return block end
      return block .. read(${HEADER}, (amount - contiguous) * ${TIMESTAMP})
    end

    local function timestamps()
      return count > 0 and slots((head - count) % capacity, count) or ''
    end

    local function write(first, block)
      local contiguous = math.min(#block, (capacity - first) * ${TIMESTAMP})
      call('SETRANGE', key, ${HEADER} + first * ${TIMESTAMP}, sub(block, 1, contiguous))
      if contiguous < #block then call('SETRANGE', key, ${HEADER}, sub(block, contiguous + 1)) end
    end

    local function header()
      return 'sg1' .. pack('${NUMBERS}', capacity, head, count, high, longest, epoch)
    end

    refund = function(of_epoch, timestamp, cost)
      if epoch ~= of_epoch or timestamp <= now - longest then return 0 end
      local newer = count_after(timestamp)
      if newer > ${MAX_MOVED} then return 0 end
      local taken = math.min(count_after(timestamp - 1) - newer, cost)
      if taken <= 0 then return 0 end
      if newer > 0 then write((head - newer - taken) % capacity, slots((head - newer) % capacity, newer)) end
      head, count = (head - taken) % capacity, count - taken
      call('SETRANGE', key, '0', header())
      return taken
    end

    -- Returns the timestamp.
    record = function(cost)
      local timestamp = now > time and now + 1 or ceiling
      if count > 0 then timestamp = math.max(timestamp, at(1)) end
      high = now
      if epoch == 0 then epoch = new_epoch end
      local ttl = timestamp + longest - time
      local expired = now - longest
      local block = string.rep(pack('>I6', timestamp), cost)
      local excess = count + cost - capacity
      if count <= ${SMALL} then
        count = count_after(expired)
      elseif excess > 0 and excess <= count and at(count - excess + 1) <= expired then
        count = count - excess
      end
      if count + cost <= ${SMALL} then
        local kept = timestamps()
        count = count + cost
        capacity, head = count, 0
        beginning = header() .. kept .. block
        call('SET', key, beginning, 'PX', ttl)
      elseif count + cost <= capacity then
        local first = head
        head, count = (head + cost) % capacity, count + cost
        -- First, because the user may lack the permission: then nothing has been recorded.
        call('PEXPIRE', key, ttl)
        write(first, block)
        call('SETRANGE', key, '0', header())
        -- The pieces that were read are still valid, except for the slots just written.
        piece = ''
        if first < ${SMALL} or first + cost > capacity then beginning = '' end
      else
        count = count_after(expired)
        local kept = timestamps()
        count = count + cost
        local deepest = 0
        for layer = 3, #words, 2 do deepest = math.max(deepest, words[layer]) end
        -- More than the limits of this call need: another release has a longer period, and its timestamps are kept.
        if count > deepest then deepest = count + math.floor(count / 4) end
        capacity = math.min(deepest, math.max(2 * capacity, count))
        head = count % capacity
        call('SET', key, header() .. kept .. block .. string.rep('\\0', (capacity - count) * ${TIMESTAMP}), 'PX', ttl)
        beginning, piece = '', ''
      end
      return timestamp
    end
  end

  return function(op, of_key, value, of_words)
    key, words = of_key, of_words
    load(value)
    if op == 'state' then return format('%d %.0f', count_after(now - words[1]), now - words[1]) end
    if op == 'refund' then
      if not refund then create_writers() end
      return format('%d', refund(words[2], words[3], words[4]))
    end

    local cost, passes = words[2], true
    for layer = 3, #words, 2 do
      local again = wait(words[layer], words[layer + 1], cost)
      if again ~= 0 then
        if op == 'admit' then return format('%.0f', math.min(0, -again)) end
        passes = false
        break
      end
    end
    if op == 'test' then
      -- A damaged log must be found before anything is recorded in any key.
      if capacity > ${SMALL} and call('STRLEN', key) < ${HEADER} + capacity * ${TIMESTAMP} then error(FOREIGN) end
      return passes
    end

    local timestamp
    if passes and op ~= 'peek' then
      if not record then create_writers() end
      timestamp = record(cost)
    end
    if op == 'admit' then return '1' end

    local newest = count > 0 and (timestamp or at(1)) - time or ${NEVER}
    local reply = format('%d %.0f %.0f %.0f', passes and 1 or 0, epoch, time, newest)
    for layer = 3, #words, 2 do
      local max_calls, period = words[layer], words[layer + 1]
      local used = count_after(now - period)
      local again = passes and 0 or wait(max_calls, period, cost)
      local more = wait(max_calls, period, math.max(0, max_calls - used) + 1)
      reply = format('%s %d %.0f %.0f', reply, used, again, more)
    end
    return reply
  end
end
local general

local function execute(op, key, words)
  -- As strings: Redis takes 0.2 us to print a number.
  local value = call('GETRANGE', key, '0', '${HEADER + SMALL * TIMESTAMP - 1}')
  if words[2] == 1 and (op == 'admit' or op == 'check' or op == 'peek') then
    local reply = fast(op, key, value, words)
    if reply then return reply end
  end
  general = general or create_general()
  return general(op, key, value, words)
end

-- The only call of a run needs none of the following, and its error is that of the command.
if #KEYS == 1 and ARGV[1] ~= 'all' then
  local words = {}
  for i = 4, #ARGV do words[i - 3] = tonumber(ARGV[i]) end
  return execute(ARGV[1], KEYS[1], words)
end

-- All or nothing: tests every member, then records the call in each key that passes.
local function all(members)
  local passes = true
  for _, member in ipairs(members) do
    member.passes = execute('test', member.key, member.words)
    if member.op == 'must' and not member.passes then passes = false end
  end
  local replies = { passes and '1' or '0' }
  for at, member in ipairs(members) do
    replies[at + 1] = execute(passes and member.passes and 'check' or 'peek', member.key, member.words)
  end
  return table.concat(replies, ' ')
end

local next_word = 1
-- The method, the number of keys and the words of the next group of calls.
local function next_group()
  local first, words = next_word + 3, {}
  next_word = first + ARGV[next_word + 2]
  for i = first, next_word - 1 do words[i - first + 1] = tonumber(ARGV[i]) end
  return ARGV[first - 3], tonumber(ARGV[first - 2]), words
end

local replies = {}
local function try(run, ...)
  local ok, reply = pcall(run, ...)
  if not ok then
    local message = type(reply) == 'table' and reply.err or tostring(reply)
    -- Nothing was recorded, and clients look for another server when they see this error.
    if string.find(message, 'READONLY', 1, true) then error(reply, 0) end
    -- Redis 6 ends its own errors with a line break, which separates replies.
    reply = '!' .. string.gsub(message, '%c+', ' ')
  end
  replies[#replies + 1] = reply
end

local next_key = 1
while next_key <= #KEYS do
  local op, size, words = next_group()
  if op == 'all' then
    local members = {}
    for i = 1, size do
      local key = KEYS[next_key]
      next_key = next_key + 1
      local member_op, _, member_words = next_group()
      members[i] = { op = member_op, key = key, words = member_words }
    end
    try(all, members)
  else
    for i = next_key, next_key + size - 1 do try(execute, op, KEYS[i], words) end
    next_key = next_key + size
  end
end
return table.concat(replies, '\\n')
`;

/** The text of the script, and its SHA-1 in hexadecimal for `EVALSHA`, since edge workers have no `node:crypto`. */
export const SCRIPT: { readonly text: string; readonly sha1: string } = {
  text: TEXT,
  sha1: "2672b2c84bb633bab0b0ecfe4633c1c542dfdda9",
};
