-- Removes what is too old of one topic. KEYS: head, log, due. ARGV: now, flat topic. Answers how many were removed.
local age = tonumber(call('HGET', KEYS[1], 'a') or nil)
if not age then
  call('ZREM', KEYS[3], ARGV[2])
  return 0
end
local before, removed = tonumber(ARGV[1]) - age, 0
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
    call('ZREM', KEYS[3], ARGV[2])
    call('HDEL', KEYS[1], 'a')
    return removed
  end
end
