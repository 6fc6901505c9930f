-- SPDX-License-Identifier: Apache-2.0
-- One run's journal in Redis: all that is written goes through here, and is refused where it carries an old epoch.
-- Scripts are sent by their hash, with their text where the server does not know it: so clients of several
-- versions share a server, and a replica that is promoted needs nothing loaded.
--
-- KEYS[1] perdure:{ID}:run, a hash:
--   format          of all of this; another one is refused
--   epoch           raised by each takeover
--   owner           who holds it: the identity of a run's directory somewhere
--   name            the same for people
--   lease_until_us  on this server's clock
--   next_seq        of the entry that has to come next
--   end_position    of the last one
--   state, head     the run's state, and all of its store but the chunks (redis_run.h)
--   head_epoch      of the owner who wrote the head last: all before is in that one's own store
-- KEYS[2] perdure:{ID}:chunks, a list, oldest first
-- ARGV: verb, format, then what the verb takes. Returns {word, …}:
--   ok, …           done
--   held, name, ms  another owner's lease runs for that long
--   stale, name, n  another owner has taken it over, with epoch n
--   gap, seq        these entries do not follow; seq has to come next
--   missing         the run is not here (or not any more), or not yet what its owner has claimed: a replica that
--                   lacked it has taken the primary's place
--   format, n       it is in another format
local run, chunks = KEYS[1], KEYS[2]
local verb, format = ARGV[1], ARGV[2]

local function whole(number)
  return string.format('%.0f', number)
end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function lease_end(lease_ms)
  return whole(now_us() + tonumber(lease_ms) * 1000)
end

-- What an append needs, and no more: it is what others wait for.
local there = redis.call('HMGET', run, 'format', 'epoch', 'next_seq')
if there[1] and there[1] ~= format then
  return {'format', there[1]}
end

local function get(field)
  return redis.call('HGET', run, field)
end

-- claim OWNER NAME LEASE_MS EPOCH_MIN: epoch, next_seq, end_position, head_epoch
if verb == 'claim' then
  local owner, name, lease_ms, epoch_min = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
  if there[1] and get('owner') ~= owner then
    local left = tonumber(get('lease_until_us')) - now_us()
    if left > 0 then
      return {'held', get('name'), whole(math.ceil(left / 1000))}
    end
  end
  local epoch, end_position = math.max(tonumber(there[2] or '0') + 1, epoch_min), get('end_position') or '0'
  redis.call('HSET', run, 'format', format, 'epoch', whole(epoch), 'owner', owner, 'name', name,
             'next_seq', there[3] or '1', 'end_position', end_position, 'lease_until_us', lease_end(lease_ms))
  return {'ok', whole(epoch), there[3] or '1', end_position, get('head_epoch') or '0'}
end

-- All others: EPOCH …
if not there[1] or tonumber(there[2]) < tonumber(ARGV[3]) then
  return {'missing'}
end
if there[2] ~= ARGV[3] then
  return {'stale', get('name'), there[2]}
end

-- renew EPOCH LEASE_MS: next_seq
if verb == 'renew' then
  redis.call('HSET', run, 'lease_until_us', lease_end(ARGV[4]))
  return {'ok', there[3]}
end

-- append EPOCH LEASE_MS (FIRST_SEQ COUNT END_POSITION BYTES)…: next_seq. Chunks that are there are passed over. An
-- empty LEASE_MS leaves the lease as it is.
if verb == 'append' then
  local known, end_position = tonumber(there[3]), nil
  local next_seq = known
  for i = 5, #ARGV, 4 do
    local first, count = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    if first > next_seq or (first < next_seq and first + count > next_seq) then
      return {'gap', there[3]}
    end
    if first == next_seq then
      next_seq = first + count
      end_position = ARGV[i + 2]
    end
  end
  for i = 5, #ARGV, 4 do
    if tonumber(ARGV[i]) >= known then
      redis.call('RPUSH', chunks, ARGV[i + 3])
    end
  end
  local fields = {}
  if end_position then
    fields = {'next_seq', whole(next_seq), 'end_position', end_position}
  end
  if ARGV[4] ~= '' then
    fields[#fields + 1] = 'lease_until_us'
    fields[#fields + 1] = lease_end(ARGV[4])
  end
  if fields[1] then
    redis.call('HSET', run, unpack(fields))
  end
  return {'ok', whole(next_seq)}
end

-- head EPOCH STATE BYTES
if verb == 'head' then
  redis.call('HSET', run, 'state', ARGV[4], 'head', ARGV[5], 'head_epoch', ARGV[3])
  return {'ok'}
end

-- reset EPOCH: begun anew
if verb == 'reset' then
  redis.call('DEL', chunks)
  redis.call('HDEL', run, 'state', 'head', 'head_epoch')
  redis.call('HSET', run, 'next_seq', '1', 'end_position', '0')
  return {'ok'}
end

-- remove EPOCH: nothing is left of it
if verb == 'remove' then
  redis.call('UNLINK', run, chunks)
  return {'ok'}
end

-- release EPOCH: nobody holds it any more, and whoever claims it next need not wait
if verb == 'release' then
  redis.call('HSET', run, 'lease_until_us', '0')
  return {'ok'}
end

return redis.error_reply('ERR no such verb: ' .. verb)
