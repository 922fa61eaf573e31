-- Removes what is too old of one topic, and the topic itself when it has been empty for long.
-- KEYS: head, log, due, topics, floor. ARGV: now, flat topic, topic, for how long one is remembered that is empty.
-- Answers how many events were removed.
local now, memory = tonumber(ARGV[1]), tonumber(ARGV[4])
local head = call('HMGET', KEYS[1], 'a', 's', 't')
local age, last, time = tonumber(head[1] or nil), tonumber(head[2] or 0), tonumber(head[3] or now)
if not age then
  if call('EXISTS', KEYS[2]) == 1 then
    call('ZREM', KEYS[3], ARGV[2])
  elseif time + memory >= now then
    call('ZADD', KEYS[3], str(time + memory), ARGV[2])
  else
    raise_floor(KEYS[5], last)
    call('DEL', KEYS[1])
    call('ZREM', KEYS[3], ARGV[2])
    call('ZREM', KEYS[4], ARGV[3])
  end
  return 0
end
local before, removed = now - age, 0
while true do
  local chunk = call('XRANGE', KEYS[2], '-', '+', 'COUNT', 32)
  local keep_from, oldest = false, false
  for _, entry in ipairs(chunk) do
    local time = tonumber(entry[2][2])
    if time >= before then
      oldest = time
      break
    end
    keep_from = offset_of(entry) + 1
  end
  if keep_from then
    removed = removed + call('XTRIM', KEYS[2], 'MINID', str(keep_from))
  end
  if oldest then
    call('ZADD', KEYS[3], str(oldest + age), ARGV[2])
    return removed
  end
  if #chunk == 0 then
    call('DEL', KEYS[2])
    call('HDEL', KEYS[1], 'a')
    call('ZADD', KEYS[3], str(time + memory), ARGV[2])
    return removed
  end
end
