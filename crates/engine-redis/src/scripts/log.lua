-- What the scripts of logs share.
local call = redis.call

-- Numbers as they are: Lua would round the large ones.
local function str(number) return string.format('%.0f', number) end

-- Where an entry of a log is.
local function offset_of(entry) return tonumber(string.match(entry[1], '^%d+')) end

-- The epoch of a topic without a head: always the same as long as the server has not lost its data.
local function epoch_of(born_key, random, flat)
  local born = call('GET', born_key)
  if not born then
    born = random
    call('SET', born_key, born)
  end
  return str(math.max(1, tonumber(string.sub(redis.sha1hex(born .. flat), 1, 8), 16)))
end

-- How far offsets leap when the server begins another life, which may have forgotten the last ones.
local LEAP = 1048576

-- Topics of this partition that are new begin above here: a topic of the same name may have had the offsets below, and was
-- forgotten, purged, or lost with another life of the server.
local function floor_of(floor_key, life)
  local found = call('HMGET', floor_key, 's', 'l')
  local floor = tonumber(found[1] or 0)
  if found[2] ~= life then
    if found[2] then floor = floor + LEAP end
    call('HSET', floor_key, 's', str(floor), 'l', life)
  end
  return floor
end

local function raise_floor(floor_key, offset)
  if offset > tonumber(call('HGET', floor_key, 's') or 0) then call('HSET', floor_key, 's', str(offset)) end
end

-- Removes the oldest events until the rest has so many bytes; `bytes` are all that were ever stored.
local function trim_bytes(log_key, bytes, bytes_max)
  local keep_from, more = false, true
  while more do
    more = false
    for _, entry in ipairs(call('XRANGE', log_key, keep_from or '-', '+', 'COUNT', 4)) do
      more = bytes - tonumber(entry[2][4]) > bytes_max
      if not more then break end
      keep_from = str(offset_of(entry) + 1)
    end
  end
  if keep_from then call('XTRIM', log_key, 'MINID', keep_from) end
end

-- Has the sweep look at a topic whose age limit is another one than before.
local function set_age(head_key, due_key, flat, before, age)
  if age ~= '' and before ~= age then
    call('ZADD', due_key, 0, flat)
    call('HSET', head_key, 'a', age)
  elseif age == '' and before then
    call('ZREM', due_key, flat)
    call('HDEL', head_key, 'a')
  end
end

-- Stores one event.
local function put(log_key, events_max, offset, prev, time, bytes, size, draft)
  local entry = { 'XADD', log_key }
  if events_max then entry[3], entry[4] = 'MAXLEN', str(events_max) end
  local n = #entry
  entry[n + 1] = str(offset) .. '-0'
  entry[n + 2], entry[n + 3] = 't', time
  entry[n + 4], entry[n + 5] = 'b', str(bytes)
  entry[n + 6], entry[n + 7] = 'z', size
  entry[n + 8], entry[n + 9] = 'd', draft
  if prev ~= offset - 1 then entry[n + 10], entry[n + 11] = 'p', str(prev) end
  call(unpack(entry))
end

