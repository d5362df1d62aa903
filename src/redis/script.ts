import { MAX_MOVED } from "../store/store.js";

/** The bytes of the header without and with a lock, and of a timestamp; the timestamps of a small log. */
const [HEADER, LOCK_HEADER, TIMESTAMP, SMALL] = [35, 44, 6, 128];

/** The numbers of the header, after its first three bytes, and those of a lock behind them. */
const [NUMBERS, LOCK_NUMBERS] = [">I4I4I4I6I7I7", ">I7I2"];

/** The most strikes that a value can have. */
const MOST_STRIKES = 65_535;

/** Earlier than the start of any period. */
const NEVER = "-2 ^ 52";

/**
 * The script of every method, which runs in one round trip and atomically: the counterpart of `core/sliding-window.ts` and
 * `store/memory/key-table.ts`. Change both together; the same model checks both.
 *
 * A key holds one string: a header, followed by a ring of timestamps of 6 bytes, whole milliseconds of the server's clock.
 *
 *     sg1 | capacity 4 | head 4 | count 4 | high 6 | longest 7 | epoch 7 | timestamps 6 each
 *     sg2 | the same numbers                                            | locked until 7 | strikes 2 | timestamps 6 each
 *
 * - `head` is the slot that is written next; the i-th most recent timestamp is in slot `(head - i) mod capacity`. Timestamps
 *   never decrease from the oldest to the newest.
 * - `high` is the latest time at which a call was recorded or a lock was set. Time never goes back before it (for example after
 *   a failover to a slower clock), and a refund does not change it. A timestamp that is more than the longest period ahead of the
 *   clock was made by a wrong clock and is ignored: it would refuse calls for that long.
 * - `longest` is the longest period of any release that has used the key: timestamps are removed by that age alone, never by
 *   depth, so that releases with different limits can use one key.
 * - `epoch` distinguishes a log from a later log of the same key, which a late refund must not change.
 * - A key that is locked, or has strikes, has a value of the second form, whose log may be empty. While a key is locked nothing is
 *   recorded, so its lock began at `high`. One that began further ahead of the clock than the longest period, and than it is long,
 *   was set by a wrong clock and is ignored, with its strikes: whatever a clock did, a lock lasts at most twice as long as the
 *   longer of the two.
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
 * `state` the longest period; those of `refund` that, epoch, timestamp and cost; those of `lock` that and a length; those of
 * `unlock` and `reset` that and, if only one lock is meant, its end, 0 for none. The group `all` has a number of members and no
 * words; each member follows as a group of one key, whose method is `must` if its refusal refuses the whole call, and else `may`.
 *
 * A group of a namespace with a lock policy begins with these words; without steps, no refusal is a strike:
 *
 *     locks, number of words, forget after, number of steps, steps, depth of each limit without load (if that has reduced one)
 *
 * The replies are separated by newlines, those of the members by commas. The numbers in a reply are separated by spaces, because
 * clients take two microseconds to parse a list of ten. A call that fails replies `!` and its error, and fails alone; an error of
 * the only call is thrown.
 *
 * A peek writes nothing, nor does a refused call that is no strike. All numbers are integers below 2^53. A foreign value is
 * reported by `error`, and not by `redis.error_reply`, because it may be found in a nested function.
 */
const TEXT = `
local call, unpack, pack, sub, format = redis.call, struct.unpack, struct.pack, string.sub, string.format

local clock = call('TIME')
local micros = tonumber(clock[2])
local time = clock[1] * 1000 + math.floor(micros / 1000)
local ceiling = micros % 1000 > 0 and time + 1 or time
local new_epoch = clock[1] * 1000000 + micros

-- The commonest calls: 'admit', 'check' and 'peek' of cost 1, on a new or small log without a lock, by a clock that has not gone
-- back. Returns nil for any other call. It creates no functions, and does what 'general' does.
local function fast(op, key, value, words)
  local count, longest, epoch = 0, words[1], 0
  local size = #value
  if size > 0 then
    if size <= ${HEADER} or sub(value, 1, 3) ~= 'sg1' then return end
    local capacity, head, high, known
    capacity, head, count, high, known, epoch = unpack('${NUMBERS}', value, 4)
    -- A small log that was refunded is not in order.
    if head ~= 0 or capacity ~= count or size ~= ${HEADER} + count * ${TIMESTAMP} or count >= ${SMALL} then return end
    if high > time or known >= 2 ^ 53 or epoch >= 2 ^ 53 then return end
    if known > longest then longest = known end
  end
  -- The position after the oldest timestamp, less the position of the i-th most recent one, is ${TIMESTAMP} * i.
  local behind = size + 1

  local passes = true
  for layer = 3, #words, 2 do
    local max_calls = words[layer]
    if max_calls < 1 then
      if words.locks then return end
      if op == 'admit' then return '0' end
      passes = false
      break
    end
    if max_calls <= count then
      local free = unpack('>I6', value, behind - max_calls * ${TIMESTAMP}) + words[layer + 1]
      if free > time then
        -- It may be a strike.
        if words.locks then return end
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
  -- The bytes before the first slot.
  local offset
  -- The first instants after the latest lock, 0 for none, and at which its strikes are forgotten as well.
  local locked_until, strikes, kept_until
  -- The header and the first slots: a small log is complete.
  local beginning
  -- A further piece of a deep log, as long as the first: a binary search ends within it.
  local piece, piece_start

  local function at(i)
    local start = offset + (head - i) % capacity * ${TIMESTAMP}
    if start + ${TIMESTAMP} <= #beginning then return (unpack('>I6', beginning, start + 1)) end
    if start < piece_start or start + ${TIMESTAMP} > piece_start + #piece then
      piece_start = start - (start - offset) % (${SMALL} * ${TIMESTAMP})
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
    offset, locked_until, strikes, kept_until = ${HEADER}, 0, 0, 0
    beginning, piece, piece_start = value, '', 0
    if value ~= '' then
      local version = sub(value, 1, 3)
      if version == 'sg2' then offset = ${LOCK_HEADER} elseif version ~= 'sg1' then error(FOREIGN) end
      if #value < offset then error(FOREIGN) end
      capacity, head, count, high, longest, epoch = unpack('${NUMBERS}', value, 4)
      if count > capacity or head >= capacity or #value < offset + math.min(capacity, ${SMALL}) * ${TIMESTAMP} then error(FOREIGN) end
      if offset > ${HEADER} then locked_until, strikes = unpack('${LOCK_NUMBERS}', value, ${HEADER} + 1) end
      if math.max(longest, epoch, locked_until) >= 2 ^ 53 then error(FOREIGN) end
    end
    longest = math.max(longest, words[1])
    local began = high
    if high > time + longest then
      local wrong = count_after(time + longest)
      count = count - wrong
      if capacity > 0 then head = (head - wrong) % capacity end
      high = 0
    end
    now = math.max(time, high)
    if locked_until > 0 then
      kept_until = locked_until + (strikes > 0 and words.locks and words.locks[1] or 0)
      local is_wrong = locked_until > now and began - time > math.max(longest, locked_until - began)
      if is_wrong or kept_until <= now then locked_until, strikes, kept_until = 0, 0, 0 end
    end
  end

  local refund, record, save
  -- A call that changes nothing does not need these.
  local function create_writers()
    local function read(start, length)
      if start + length <= #beginning then return sub(beginning, start + 1, start + length) end
      local block = call('GETRANGE', key, start, start + length - 1)
      if #block < length then error(FOREIGN) end
      return block
    end

    local function slots(first, amount)
      local contiguous = math.min(amount, capacity - first)
      local block = read(offset + first * ${TIMESTAMP}, contiguous * ${TIMESTAMP})
      if contiguous == amount then return block end
      return block .. read(offset, (amount - contiguous) * ${TIMESTAMP})
    end

    local function write(first, block)
      local contiguous = math.min(#block, (capacity - first) * ${TIMESTAMP})
      call('SETRANGE', key, offset + first * ${TIMESTAMP}, sub(block, 1, contiguous))
      if contiguous < #block then call('SETRANGE', key, offset, sub(block, contiguous + 1)) end
    end

    local function header()
      local numbers = pack('${NUMBERS}', capacity, head, count, high, longest, epoch)
      if offset == ${HEADER} then return 'sg1' .. numbers end
      return 'sg2' .. numbers .. pack('${LOCK_NUMBERS}', locked_until, strikes)
    end

    -- Writes the whole value: the unexpired timestamps, those of a block, and free slots.
    save = function(block, slots_needed)
      slots_needed = slots_needed or count > ${SMALL} and capacity or 0
      count = count_after(now - longest)
      local kept = (count > 0 and slots((head - count) % capacity, count) or '') .. block
      count = #kept / ${TIMESTAMP}
      capacity = math.max(1, count, slots_needed)
      head = count % capacity
      offset = locked_until > 0 and ${LOCK_HEADER} or ${HEADER}
      beginning, piece = header() .. kept .. string.rep('\\0', (capacity - count) * ${TIMESTAMP}), ''
      call('SET', key, beginning, 'PX', math.max(count > 0 and at(1) + longest or 0, kept_until) - time)
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
      local expired = now - longest
      local block = string.rep(pack('>I6', timestamp), cost)
      local excess = count + cost - capacity
      if count <= ${SMALL} then
        count = count_after(expired)
      elseif excess > 0 and excess <= count and at(count - excess + 1) <= expired then
        count = count - excess
      end
      if count + cost <= ${SMALL} then
        save(block, 0)
      elseif count + cost <= capacity then
        local first = head
        head, count = (head + cost) % capacity, count + cost
        -- First, because the user may lack the permission: then nothing has been recorded.
        call('PEXPIRE', key, math.max(timestamp + longest, kept_until) - time)
        write(first, block)
        call('SETRANGE', key, '0', header())
        -- The pieces that were read are still valid, except for the slots just written.
        piece = ''
        if offset + first * ${TIMESTAMP} < #beginning or first + cost > capacity then beginning = '' end
      else
        local needed = count_after(expired) + cost
        local deepest = 0
        for layer = 3, #words, 2 do deepest = math.max(deepest, words[layer]) end
        -- More than the limits of this call need: another release has a longer period, and its timestamps are kept.
        if needed > deepest then deepest = needed + math.floor(needed / 4) end
        save(block, math.min(deepest, 2 * capacity))
      end
      return timestamp
    end
  end

  return function(op, of_key, value, of_words)
    key, words = of_key, of_words
    load(value)
    local is_locked, locks = locked_until > now, words.locks
    if op == 'state' then
      local left = is_locked and locked_until - time or 0
      return format('%d %.0f %.0f %d %.0f', count_after(now - longest), now - words[1], left, strikes, locked_until)
    end
    if op == 'refund' then
      if not refund then create_writers() end
      return format('%d', refund(words[2], words[3], words[4]))
    end
    if op == 'unlock' or op == 'reset' then
      if words[2] and locked_until ~= 0 and locked_until ~= words[2] then return '0' end
      if op == 'unlock' and locked_until == 0 then return '0' end
      locked_until, strikes, kept_until = 0, 0, 0
      if op == 'reset' or count_after(now - longest) == 0 then
        call('UNLINK', key)
      else
        if not save then create_writers() end
        save('')
      end
      return '1'
    end

    if op == 'lock' then
      locked_until = now + words[2]
      kept_until = locked_until + (strikes > 0 and locks and locks[1] or 0)
      high = now
      if not save then create_writers() end
      save('')
      return '1'
    end

    local cost, again = words[2], 0
    for layer = 3, #words, 2 do
      again = wait(words[layer], words[layer + 1], cost)
      if again ~= 0 then break end
    end
    local passes = again == 0 and not is_locked
    -- A refusal is a strike if the limits without load refuse the call too, and will allow it after this wait.
    local strike_wait = 0
    if locks and locks[2] > 0 and again ~= 0 and not is_locked and op ~= 'peek' then
      for layer = 3, #words, 2 do
        local full_again = wait(locks[2 + locks[2] + (layer - 1) / 2] or words[layer], words[layer + 1], cost)
        strike_wait = math.max(strike_wait, full_again)
        if full_again < 0 then
          strike_wait = 0
          break
        end
      end
    end
    if op == 'test' then
      -- A damaged log must be found before anything is recorded in any key.
      if capacity > ${SMALL} and call('STRLEN', key) < offset + capacity * ${TIMESTAMP} then error(FOREIGN) end
      return passes, strike_wait > 0
    end

    local timestamp
    if passes and op ~= 'peek' then
      if not record then create_writers() end
      timestamp = record(cost)
    elseif strike_wait > 0 then
      local before, strikes_before, kept_before = locked_until, strikes, kept_until
      strikes = math.min(strikes + 1, ${MOST_STRIKES})
      locked_until = math.max(now + locks[2 + math.min(strikes, locks[2])], time + strike_wait)
      kept_until = locked_until + locks[1]
      high = now
      if not save then create_writers() end
      local ok, problem = pcall(save, '')
      if not ok then
        local message = type(problem) == 'table' and problem.err or tostring(problem)
        -- A server that has no memory for the strike, or too few replicas, still refuses the call.
        local is_refused = false
        for _, code in ipairs({ 'OOM', 'NOREPLICAS', 'MISCONF' }) do
          is_refused = is_refused or string.find(message, code, 1, true)
        end
        if not is_refused then error(problem, 0) end
        locked_until, strikes, kept_until = before, strikes_before, kept_before
      end
    end
    local left = locked_until > now and locked_until - time or 0
    if op == 'admit' then
      if passes then return '1' end
      if left > 0 then return format('%.0f %.0f', -left, left) end
      return format('%.0f', math.min(0, -again))
    end

    local newest = count > 0 and (timestamp or at(1)) - time or ${NEVER}
    local reply = format('%d %.0f %.0f %.0f', passes and 1 or 0, epoch, time, newest)
    for layer = 3, #words, 2 do
      local max_calls, period = words[layer], words[layer + 1]
      local used = count_after(now - period)
      local own_again = passes and 0 or wait(max_calls, period, cost)
      local more = wait(max_calls, period, math.max(0, max_calls - used) + 1)
      reply = format('%s %d %.0f %.0f', reply, used, own_again, more)
    end
    if locked_until == 0 then return reply end
    return format('%s %d %.0f %d', reply, is_locked and 1 or 0, left, strikes)
  end
end
local general

local function execute(op, key, words)
  -- As strings: Redis takes 0.2 us to print a number.
  local value = call('GETRANGE', key, '0', '${LOCK_HEADER + SMALL * TIMESTAMP - 1}')
  if words[2] == 1 and (op == 'admit' or op == 'check' or op == 'peek') then
    local reply = fast(op, key, value, words)
    if reply then return reply end
  end
  general = general or create_general()
  return general(op, key, value, words)
end

-- The only call of a run needs none of the following, and its error is that of the command.
if #KEYS == 1 and ARGV[1] ~= 'all' then
  local words, first = {}, 4
  if ARGV[1] == 'locks' then
    first = 6 + ARGV[2]
    words.locks = {}
    for i = 3, first - 4 do words.locks[i - 2] = tonumber(ARGV[i]) end
  end
  for i = first, #ARGV do words[i - first + 1] = tonumber(ARGV[i]) end
  return execute(ARGV[first - 3], KEYS[1], words)
end

-- All or nothing: tests every member, then records the call in each key that passes.
local function all(members)
  local passes, is_any_refused = true, false
  for _, member in ipairs(members) do
    local is_strike
    member.passes, is_strike = execute('test', member.key, member.words)
    if not member.passes then
      local is_required = member.op == 'must'
      -- Only the first refusal is a strike, and one that does not refuse the call hides no other.
      member.strikes = is_strike and passes and (is_required or not is_any_refused)
      passes, is_any_refused = passes and not is_required, true
    end
  end
  local replies = { passes and '1' or '0' }
  for at, member in ipairs(members) do
    local writes = member.strikes or passes and member.passes
    replies[at + 1] = execute(writes and 'check' or 'peek', member.key, member.words)
  end
  return table.concat(replies, ',')
end

local next_word = 1
-- The method, the number of keys and the words of the next group of calls.
local function next_group()
  local words, first = {}, next_word + 3
  if ARGV[next_word] == 'locks' then
    words.locks = {}
    first = next_word + 5 + ARGV[next_word + 1]
    for i = next_word + 2, first - 4 do words.locks[i - next_word - 1] = tonumber(ARGV[i]) end
  end
  next_word = first + ARGV[first - 1]
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
  sha1: "7fb9e73903585cb95640a74207e3879940cc5e13",
};
